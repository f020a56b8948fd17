import { expect, test } from "vitest";
import type { JobRecord } from "../../src/control/record.js";
import { FleetDriver, record } from "./fleetDriver.js";

/** Jobs that ended, and how often anybody has looked at one of them. */
function ended(count: number): { readonly records: readonly JobRecord[]; looks: () => number } {
  let looks = 0;
  const records = Array.from({ length: count }, (_, i): JobRecord => {
    const done: JobRecord = {
      ...record(`old-${i}`),
      ...{ state: "done", step: 3, attempt: 1, generation: 1, order: i + 1, endedMs: 1 },
    };
    return new Proxy(done, {
      get: (target, field, receiver): unknown => {
        looks += 1;
        return Reflect.get(target, field, receiver);
      },
    });
  });
  return { records, looks: () => looks };
}

test("what happens every moment looks at no job that has ended", () => {
  const { records, looks } = ended(50);
  const driver = new FleetDriver(records);
  driver.happens({ kind: "submit", record: record("other", { minWorkers: 8 }) });
  driver.start(["a", "b"], { minWorkers: 2 });
  const before = looks();
  driver.pass(3_000, ["a", "b"]);
  driver.reportAll();
  driver.disconnect("b");
  driver.pass(3_000, ["a"]);
  expect(driver.record()).toMatchObject({ step: 1, members: ["a"] });
  expect(looks()).toBe(before);
});

test("a job that has ended is looked at no more once its end is kept, and is all there when it goes on", () => {
  const driver = new FleetDriver();
  driver.happens({ kind: "submit", record: record("job") });
  driver.happens({ kind: "cancel", job: "job" });
  expect(driver.records.get("job")?.state).toBe("cancelled");
  expect([...driver.fleet.records.open.keys()]).toEqual([]);
  expect(driver.fleet.kept.size + driver.fleet.logged.size).toBe(0);
  driver.happens({ kind: "resume", job: "job" });
  expect(driver.records.get("job")?.state).toBe("queued");
  expect([...driver.fleet.records.open.keys()]).toEqual(["job"]);
});

test("the log of a job that ended and goes on has no line twice", () => {
  const failed: JobRecord = {
    ...record("job"),
    ...{ state: "failed", step: 2, attempt: 1, generation: 1, order: 1, endedMs: 1 },
    trail: [0, 1].map((step) => ({ step, loss: 1, sumChecksum: 1 })),
  };
  const driver = new FleetDriver([failed]);
  driver.happens({ kind: "resume", job: "job" });
  expect(driver.commands.filter(({ kind }) => kind === "log")).toEqual([]);
});

test("an evaluation that a cancelled job still owes is told once it goes on", () => {
  const cancelled: JobRecord = {
    ...record("job"),
    ...{ state: "cancelled", step: 2, attempt: 1, generation: 1, order: 1, endedMs: 1 },
    trail: [0, 1].map((step) => ({ step, loss: 1, sumChecksum: 1 })),
  };
  const driver = new FleetDriver([cancelled]);
  driver.happens({ kind: "resume", job: "job" });
  expect(driver.fleet.logged.get("job")).toEqual({ step: 2, hasEvaluation: false });
});

test("a job that went back to a checkpoint and was cancelled tells no step again that its log has", () => {
  const cancelled: JobRecord = {
    ...record("job"),
    ...{ state: "cancelling", step: 1, attempt: 2, generation: 1, order: 1 },
  };
  const logged = new Map([["job", { step: 2, hasEvaluation: false }]]);
  const driver = new FleetDriver([cancelled], 2, logged);
  driver.pass(10_000);
  expect(driver.records.get("job")?.state).toBe("cancelled");
  expect([...driver.fleet.records.open.keys()]).toEqual([]);
  driver.happens({ kind: "resume", job: "job" });
  expect(driver.fleet.logged.get("job")).toEqual({ step: 2, hasEvaluation: false });
});
