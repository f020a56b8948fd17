import { expect, test } from "vitest";
import { FleetDriver, record } from "./fleetDriver.js";
import { trainToEnd } from "./trained.js";

function counts(driver: FleetDriver): Readonly<Record<string, number>> {
  const all: Record<string, number> = {};
  for (const what of driver.observed) {
    const reason = "reason" in what ? `:${what.reason}` : "phase" in what ? `:${what.phase}` : "";
    all[`${what.kind}${reason}`] = (all[`${what.kind}${reason}`] ?? 0) + 1;
  }
  return all;
}

test("a job of three steps on two workers is three steps, and six parts of each kind", () => {
  const driver = FleetDriver.started(["a", "b"]);
  trainToEnd(driver);
  expect(driver.record().state).toBe("done");
  expect(counts(driver)).toEqual({
    ...{ joined: 2, step: 3, "phase:compute": 6, "phase:exchange": 6, saved: 2, ended: 1 },
  });
  const steps = driver.observed.filter(({ kind }) => kind === "step");
  expect(steps).toEqual(Array(3).fill({ kind: "step", job: "job", images: 16, seconds: 0.25 }));
  expect(driver.observed.at(-1)).toEqual({ kind: "ended", state: "done" });
});

test("a report that is said again, and a result that changes nothing, count once", () => {
  const driver = FleetDriver.started(["a", "b"]);
  driver.report("a", [0, 1, 2, 3]);
  driver.report("a", [0, 1, 2, 3]);
  driver.reportAll();
  expect(counts(driver)["phase:compute"]).toBe(2);
  expect(counts(driver)["step"]).toBe(1);
});

test("a worker that is silent is a loss, and a regroup for it", () => {
  const driver = FleetDriver.started(["a", "b"]);
  driver.pass(6_000, ["a"]);
  expect(counts(driver)).toEqual({ joined: 2, "lost:silent": 1, "regroup:loss": 1 });
});

test("a stream that ends and does not come back is a loss of another kind", () => {
  const driver = FleetDriver.started(["a", "b"]);
  driver.disconnect("b");
  driver.pass(1_500, ["a"]);
  expect(counts(driver)["lost:disconnected"]).toBe(1);
});

test("a worker that says that it leaves is no fault", () => {
  const driver = FleetDriver.started(["a", "b"]);
  driver.say("b", { kind: "leave", reason: "asked" });
  expect(counts(driver)["lost:left"]).toBe(1);
});

test("a new process of a name is a loss and a join", () => {
  const driver = new FleetDriver();
  driver.hello("a");
  driver.hello("a", { incarnation: "a.2" });
  expect(counts(driver)).toEqual({ joined: 2, "lost:disconnected": 1 });
});

test("steps that workers come back with were counted by the coordinator before", () => {
  const before = FleetDriver.started(["a"]);
  const stored = before.record();
  const driver = new FleetDriver([stored], 2);
  driver.hello("a", {
    incarnation: "a.2",
    held: {
      ...{ job: "job", attempt: 1, step: 2, parameterChecksum: 102, ranges: [], summed: false },
      ...{ trail: [], trial: 0 },
    },
  });
  driver.pass(4_000, ["a"]);
  expect(driver.record().step).toBe(2);
  expect(counts(driver)["step"]).toBeUndefined();
});

test("a checkpoint that was not written is a failure, of that job", () => {
  const driver = FleetDriver.started(["a"]);
  const failed = {
    kind: "save-failed",
    job: "job",
    attempt: 1,
    step: 0,
    what: "checkpoint",
  } as const;
  driver.say("a", { ...failed, message: "the disk is full" });
  driver.say("a", { ...failed, job: "other", message: "the disk is full" });
  expect(driver.observed.filter(({ kind }) => kind === "save-failed")).toEqual([
    { kind: "save-failed", job: "job", what: "checkpoint" },
  ]);
});

test("a job that is submitted and cancelled in the queue has ended once", () => {
  const driver = new FleetDriver();
  driver.happens({ kind: "submit", record: record("job") });
  driver.happens({ kind: "cancel", job: "job" });
  driver.pass(1_000);
  expect(driver.observed).toEqual([{ kind: "ended", state: "cancelled" }]);
});
