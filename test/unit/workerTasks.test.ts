import { expect, test } from "vitest";
import type { Task } from "../../src/control/message.js";
import { resultBytesMax } from "../../src/job/limits.js";
import { workerEvent } from "../../src/wire/workerEvent.js";
import { bestScores } from "../../worker/predict.js";
import { taskEventOf } from "../../worker/tasks.js";

const task: Task = { kind: "index", settings: { name: "j", model: "R50x1", data: "/data" } };

test("an answer up to the bound is sent, and one byte more is a failure with a sentence", () => {
  const longest = `${"数".repeat(resultBytesMax / 3 - 1)}xxx`;
  const event = taskEventOf("t", task, { kind: "done", result: longest });
  expect(event.kind).toBe("task-done");
  expect(workerEvent.decode(workerEvent.encode(event))).toEqual(event);
  const failed = taskEventOf("t", task, { kind: "done", result: `${longest}x` });
  expect(failed).toEqual({
    kind: "task-failed",
    taskId: "t",
    cause: "data",
    message: "the answer to the index task has 3145729 bytes, at most 3145728 can be sent",
  });
  expect(workerEvent.decode(workerEvent.encode(failed))).toEqual(failed);
});

test("the best classes come first, with the digits of a float32, and of two alike the lower label", () => {
  const logits = Float32Array.from([0, Math.log(4), 0, Math.log(2), -1000]);
  const rounded = bestScores(logits, 3).map(([label, score]) => [label, Math.fround(score)]);
  expect(rounded).toEqual([
    [1, expect.closeTo(0.5, 6)],
    [3, expect.closeTo(0.25, 6)],
    [0, expect.closeTo(0.125, 6)],
  ]);
  const many = new Float32Array(300_000).fill(1000);
  many[299_999] = 1001;
  const [best, next] = bestScores(many, 2);
  expect([best?.[0], next?.[0]]).toEqual([299_999, 0]);
  expect(String(next?.[1]).length).toBeLessThan(20);
});
