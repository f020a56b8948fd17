import { describe, expect, test } from "vitest";
import { FleetDriver, upTo } from "./fleetDriver.js";

const full = "the disk is full";

function step(driver: FleetDriver): void {
  driver.report("w1", upTo(4));
  driver.report("w2", upTo(8, 4));
}

function saveFailed(
  driver: FleetDriver,
  workerId: string,
  what: "checkpoint" | "weights",
  at: number,
  message = full,
): void {
  const { attempt } = driver.record();
  driver.say(workerId, { kind: "save-failed", job: "job", attempt, step: at, what, message });
}

/** Both workers have been told to commit the last step of a job that keeps nothing before its end. */
function finished(): FleetDriver {
  const driver = FleetDriver.started(["w1", "w2"], { steps: 1 });
  step(driver);
  driver.applied("w1", 1);
  driver.applied("w2", 1);
  return driver;
}

describe("a checkpoint beside the training that cannot be written", () => {
  test("is warned of once per reason, and the training goes on with the last good one", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 9, checkpointEvery: 1 });
    const warned: string[] = [];
    const failAt = (at: number, message?: string): void => {
      saveFailed(driver, "w1", "checkpoint", at, message);
      warned.push(...driver.said());
    };
    step(driver);
    driver.saved("w1", "checkpoint", 1);
    step(driver);
    failAt(2);
    step(driver);
    failAt(3);
    failAt(3, "permission is denied");
    step(driver);
    expect(warned).toEqual([
      "checkpoint of step 2 is not saved: the disk is full",
      "checkpoint of step 3 is not saved: permission is denied",
    ]);
    expect(driver.record()).toMatchObject({
      state: "training",
      step: 4,
      checkpoints: [{ step: 1 }],
    });
  });

  test("is warned of again when one was written in between", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 9, checkpointEvery: 1 });
    step(driver);
    saveFailed(driver, "w1", "checkpoint", 1);
    expect(driver.said()).toHaveLength(1);
    step(driver);
    driver.saved("w1", "checkpoint", 2);
    step(driver);
    saveFailed(driver, "w1", "checkpoint", 3);
    expect(driver.said()).toEqual(["checkpoint of step 3 is not saved: the disk is full"]);
    expect(driver.record().checkpoints[0]?.step).toBe(2);
  });

  test("of another attempt is not heard of", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 9 });
    const stale = { kind: "save-failed", job: "job", attempt: 7, step: 1 } as const;
    driver.say("w1", { ...stale, what: "checkpoint", message: full });
    expect(driver.commands).toEqual([]);
  });
});

describe("weights that cannot be written", () => {
  test("are asked of the other members, then again after a while, and the reason is shown", () => {
    const driver = finished();
    expect(driver.kinds("w1")).toContain("save");
    saveFailed(driver, "w1", "weights", 1);
    expect(driver.said()).toEqual(["the weights are not saved: the disk is full"]);
    expect(driver.kinds("w2")).toEqual(["save"]);
    saveFailed(driver, "w2", "weights", 1);
    expect(driver.said()).toEqual([]);
    expect(driver.record()).toMatchObject({
      state: "saving",
      reason: "the weights cannot be written, which is tried again: the disk is full",
    });
    driver.pass(driver.fleet.options.saveRetryMs - 250, ["w1", "w2"]);
    expect([...driver.kinds("w1"), ...driver.kinds("w2")]).not.toContain("save");
    driver.pass(250, ["w1", "w2"]);
    expect(driver.kinds("w1")).toContain("save");
    expect(driver.record().reason).toContain("the disk is full");
    driver.saved("w1", "weights", 1);
    driver.released("w1");
    driver.released("w2");
    expect(driver.record()).toMatchObject({ state: "done", reason: "" });
  });

  test("are waited for through ever so many tries", () => {
    const driver = finished();
    for (let tries = 0; tries < 200; tries += 1) {
      saveFailed(driver, "w1", "weights", 1);
      saveFailed(driver, "w2", "weights", 1);
      driver.pass(driver.fleet.options.saveRetryMs, ["w1", "w2"]);
      expect(driver.kinds("w1")).toContain("save");
    }
    expect(driver.record().state).toBe("saving");
  });

  test("are asked of who is left when the saver is lost in the pause", () => {
    const driver = finished();
    saveFailed(driver, "w1", "weights", 1);
    saveFailed(driver, "w2", "weights", 1);
    driver.hello("w2", { incarnation: "w2.2" });
    expect(driver.kinds("w1")).toEqual(["save"]);
  });

  test("leave a job that is cancelled meanwhile to the checkpoint", () => {
    const driver = finished();
    saveFailed(driver, "w1", "weights", 1);
    saveFailed(driver, "w2", "weights", 1);
    driver.happens({ kind: "cancel", job: "job" });
    expect(driver.sent("w1")).toMatchObject([{ kind: "save", what: "checkpoint" }]);
  });
});

test("a cancel that cannot keep the state asks every member once and then says so", () => {
  const driver = FleetDriver.started(["w1", "w2"], { steps: 9, checkpointEvery: 0 });
  step(driver);
  driver.happens({ kind: "cancel", job: "job" });
  driver.applied("w1", 1);
  driver.applied("w2", 1);
  expect(driver.record().state).toBe("cancelling");
  step(driver);
  const { step: at } = driver.record();
  saveFailed(driver, "w1", "checkpoint", at);
  expect(driver.kinds("w2")).toEqual(["save"]);
  saveFailed(driver, "w2", "checkpoint", at);
  driver.released("w1");
  driver.released("w2");
  expect(driver.record()).toMatchObject({
    state: "cancelled",
    reason: `the state of step ${at} could not be kept: the disk is full`,
    checkpoints: [],
  });
});

test.each([
  ["device hangs", { unitMs: 9_000 }, "cancelled"],
  ["process is silent", { childSilentMs: 9_000 }, "cancelled"],
  ["device is busy now and then", { unitMs: 2_000 }, "cancelling"],
  ["process writes, with its device idle", {}, "cancelling"],
])("a cancel of a job whose one %s is soon told so: %j, %s", (_, blocked, state) => {
  const driver = FleetDriver.started(["w1"], { steps: 9, checkpointEvery: 0 });
  driver.report("w1", upTo(8));
  driver.happens({ kind: "cancel", job: "job" });
  driver.report("w1", upTo(8));
  driver.applied("w1", 2);
  for (let waitedMs = 0; waitedMs < 4_000; waitedMs += 500) {
    driver.say("w1", {
      ...{ kind: "beat", phase: "", waitingFor: [], natsAgeMs: 1, shardsDone: 0 },
      ...{ residentBytes: 1, childSilentMs: 0, unitMs: -1, ...blocked },
    });
    expect(driver.record().state).toBe("cancelling");
    driver.pass(500);
  }
  driver.released("w1");
  expect(driver.record().state).toBe(state);
});

describe("what is said to be saved", () => {
  test("counts as a checkpoint only from a member", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 9 });
    driver.hello("w3");
    step(driver);
    driver.saved("w3", "checkpoint", 1);
    expect(driver.record().checkpoints).toEqual([]);
    driver.prepared("w3");
    driver.saved("w3", "checkpoint", 1);
    expect(driver.record().checkpoints).toEqual([]);
    driver.saved("w2", "checkpoint", 1);
    expect(driver.record().checkpoints).toEqual([{ step: 1, attempt: 1 }]);
  });

  test("counts as the weights only from who was asked for them", () => {
    const driver = finished();
    driver.saved("w2", "weights", 1);
    expect(driver.record().weights).toBeUndefined();
    driver.saved("w1", "weights", 1);
    expect(driver.record().weights).toEqual({ parameterDigest: "digest" });
  });
});
