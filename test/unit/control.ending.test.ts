import { expect, test } from "vitest";

import { withEvaluation } from "../../src/control/history.js";
import type { EvaluationResult, JobRecord } from "../../src/control/record.js";
import { jobRecord } from "../../src/wire/jobRecord.js";
import { FleetDriver, record } from "./fleetDriver.js";

const problem = "a record of 1000022 bytes";
const reason = `its record cannot be kept: ${problem}`;

test("a job whose record cannot be kept fails by name, with a record that can, and the next begins", () => {
  const driver = FleetDriver.started(["w1"]);
  driver.happens({ kind: "submit", record: record("next") });
  driver.happens({ kind: "unwritable", job: "job", problem });
  expect(driver.records.get("job")).toMatchObject({ state: "failed", reason, members: [] });
  expect(driver.said()).toEqual([`failed: ${reason}`]);
  expect(driver.kinds("w1")).toEqual(["release"]);
  driver.released("w1");
  expect(driver.kinds("w1")).toEqual(["prepare"]);
  expect(driver.record("next").state).toBe("starting");
});

test("so does one that waits, and one that has ended is only made smaller", () => {
  const evaluations: readonly EvaluationResult[] = [1, 2, 3].map((step) => ({
    ...{ step, correct: 1, total: 2, loss: 1 },
  }));
  const done: JobRecord = {
    ...{ ...record("done"), state: "done", attempt: 2 ** 31, evaluations, endedMs: 5 },
  };
  const driver = new FleetDriver([done]);
  driver.happens({ kind: "submit", record: record("waits") });
  driver.happens({ kind: "unwritable", job: "waits", problem });
  driver.happens({ kind: "unwritable", job: "done", problem });
  driver.happens({ kind: "unwritable", job: "nobody", problem });
  expect(driver.record("waits")).toMatchObject({ state: "failed", reason, endedMs: 1e12 });
  expect(() => jobRecord.encode(done)).toThrow("attempt 2147483648");
  const kept = driver.record("done");
  expect(kept).toMatchObject({ state: "done", endedMs: 5, evaluations: evaluations.slice(2) });
  expect(jobRecord.decode(jobRecord.encode(kept))).toEqual(kept);
});

test("a record keeps the newest thousand evaluations, also one that was done again", () => {
  let now = record("job");
  const evaluated = (step: number): void => {
    now = { ...now, evaluations: withEvaluation(now, { step, correct: 1, total: 2, loss: 1 }) };
  };
  for (let step = 1; step <= 20_000; step += 1) evaluated(step);
  expect(now.evaluations.map(({ step }) => step)).toEqual(
    Array.from({ length: 1_000 }, (_, i) => 19_001 + i),
  );
  evaluated(7);
  expect(now.evaluations.at(-1)?.step).toBe(7);
  expect(now.evaluations).toHaveLength(1_000);
});
