import { describe, expect, test } from "vitest";
import type { Task } from "../../src/control/message.js";
import { FleetDriver } from "./fleetDriver.js";

const task: Task = {
  ...{ kind: "predict", model: "R50x1", classes: 2, best: 2, crop: 32, threads: 1 },
  ...{ weights: "w", pictures: ["p"] },
};

function ask(driver: FleetDriver, taskId = "t"): void {
  driver.happens({ kind: "task", taskId, task });
}

describe("a task", () => {
  test("goes to an idle worker before one that trains", () => {
    const driver = FleetDriver.started(["w1"], { shards: 1, batch: 2 });
    driver.hello("w2");
    ask(driver);
    expect(driver.sent("w1")).toEqual([]);
    expect(driver.sent("w2")).toEqual([{ kind: "task", taskId: "t", task }]);
  });

  test("goes to one that trains where there is no other", () => {
    const driver = FleetDriver.started(["w1"]);
    ask(driver);
    expect(driver.kinds("w1")).toEqual(["task"]);
  });

  test("goes to whoever has the fewest", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.hello("w2");
    ask(driver, "a");
    expect(driver.kinds("w1")).toEqual(["task"]);
    ask(driver, "b");
    expect(driver.kinds("w2")).toEqual(["task"]);
  });

  test("is given to another when its worker is lost", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.hello("w2");
    ask(driver);
    driver.hello("w1", { incarnation: "w1.2" });
    expect([...driver.sent("w1"), ...driver.sent("w2")].map(({ kind }) => kind)).toContain("task");
  });

  test("is repeated to a worker that comes back in time", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    ask(driver);
    driver.disconnect("w1");
    driver.hello("w1");
    expect(driver.kinds("w1")).toEqual(["welcome", "task"]);
  });

  test.each([
    [4999, []],
    [
      5000,
      [
        {
          ...{ kind: "task-failed", taskId: "t", cause: "error" },
          message: "no worker is connected; start one with `join me`",
        },
      ],
    ],
  ])("waits for a worker to connect: after %i ms %j", (ms, commands) => {
    const driver = new FleetDriver();
    ask(driver);
    driver.pass(ms);
    expect(driver.commands).toEqual(commands);
  });

  test("passes on its progress and its end, once, from its own worker only", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.hello("w2");
    ask(driver);
    driver.say("w2", { kind: "task-done", taskId: "t", result: "wrong" });
    expect(driver.commands).toEqual([]);
    driver.say("w1", { kind: "task-progress", taskId: "t", done: 1, total: 2 });
    expect(driver.commands).toEqual([{ kind: "task-progress", taskId: "t", done: 1, total: 2 }]);
    driver.say("w1", { kind: "task-done", taskId: "t", result: "right" });
    expect(driver.commands).toEqual([{ kind: "task-done", taskId: "t", result: "right" }]);
    driver.say("w1", { kind: "task-done", taskId: "t", result: "right" });
    expect(driver.commands).toEqual([]);
  });

  test("that is cancelled is stopped at its worker and heard of no more", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    ask(driver);
    driver.happens({ kind: "cancel-task", taskId: "t" });
    expect(driver.sent("w1")).toEqual([{ kind: "cancel-task", taskId: "t" }]);
    driver.say("w1", { kind: "task-done", taskId: "t", result: "late" });
    expect(driver.commands).toEqual([]);
  });
});
