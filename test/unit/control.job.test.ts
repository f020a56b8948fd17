import { describe, expect, test } from "vitest";
import { jobStatus } from "../../src/control/view.js";
import { FleetDriver, record, result, upTo } from "./fleetDriver.js";

/** Both workers report their half of the step under way. */
function step(driver: FleetDriver): void {
  driver.report("w1", upTo(4));
  driver.report("w2", upTo(8, 4));
}

describe("the end", () => {
  test("is a last evaluation, the weights, and all workers let go", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.happens({ kind: "submit", record: record("job", { steps: 1 }, 100) });
    driver.prepared("w1");
    driver.loaded("w1");
    driver.report("w1", upTo(8));
    driver.applied("w1", 1);
    expect(driver.record().state).toBe("evaluating");
    const shards = [result(0, { count: 64, correct: 32 }), result(1, { count: 36, correct: 30 })];
    driver.report("w1", [], { round: "evaluation", sumChecksum: 0, shards });
    expect(driver.record().evaluations).toEqual([{ step: 1, correct: 62, total: 100, loss: 0.02 }]);
    expect(driver.sent("w1")).toMatchObject([{ kind: "save", what: "weights" }]);
    driver.saved("w1", "weights", 1);
    expect(driver.record()).toMatchObject({
      state: "saving",
      weights: { parameterDigest: "digest" },
    });
    expect(driver.kinds("w1")).toEqual(["release"]);
    driver.released("w1");
    expect(driver.record().state).toBe("done");
    expect(driver.record().endedMs).toBeGreaterThan(0);
  });

  test("the weights are saved by another member when the first is lost", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 1 });
    step(driver);
    driver.applied("w1", 1);
    driver.applied("w2", 1);
    expect(driver.kinds("w1")).toEqual(["save"]);
    driver.hello("w1", { incarnation: "w1.2" });
    expect(driver.kinds("w2")).toEqual(["save"]);
  });

  test("a job without steps only evaluates", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    const request = { steps: 0, weights: "/w.npz" };
    driver.happens({ kind: "submit", record: record("job", request, 10) });
    driver.prepared("w1");
    driver.loaded("w1");
    expect(driver.round("w1")).toMatchObject({ round: "evaluation", step: 0, shardCount: 1 });
    const shards = [result(0, { count: 10 })];
    driver.report("w1", [], { round: "evaluation", sumChecksum: 0, shards });
    expect(driver.kinds("w1")).toEqual(["release"]);
    driver.released("w1");
    expect(driver.record()).toMatchObject({ state: "done", weights: undefined });
  });
});

describe("checkpoints", () => {
  test("are written by one member, as often as the job says, and the old ones go", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    step(driver);
    expect(driver.sent("w1")[0]).toMatchObject({ kind: "commit", step: 0, save: false });
    driver.applied("w1", 1);
    step(driver);
    expect(driver.sent("w1")[0]).toMatchObject({ kind: "commit", step: 1, save: true });
    expect(driver.sent("w2")[0]).toMatchObject({ kind: "commit", step: 1, save: false });
    driver.saved("w1", "checkpoint", 2);
    expect(driver.record().checkpoints).toEqual([{ step: 2, attempt: 1 }]);
    const keep = driver.record().plan.settings.keepCheckpoints;
    expect(driver.commands).toContainEqual({ kind: "discard", job: "job", step: 2, keep });
  });

  test("that are older than the newest change nothing", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    step(driver);
    step(driver);
    driver.saved("w1", "checkpoint", 2);
    driver.saved("w2", "checkpoint", 1);
    expect(driver.record().checkpoints[0]?.step).toBe(2);
  });
});

describe("a cancel", () => {
  test("while workers get ready lets go of them", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.happens({ kind: "submit", record: record("job") });
    driver.happens({ kind: "cancel", job: "job" });
    expect(driver.kinds("w1")).toEqual(["release"]);
    expect(driver.record().state).toBe("cancelling");
    driver.released("w1");
    expect(driver.record().state).toBe("cancelled");
  });

  test("in a round commits nothing more, keeps the last commit, and is over when all have let go", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    step(driver);
    driver.applied("w2", 1);
    driver.report("w1", upTo(4));
    driver.happens({ kind: "cancel", job: "job" });
    expect(driver.sent("w1")).toEqual([
      { kind: "save", job: "job", attempt: 1, what: "checkpoint" },
    ]);
    driver.report("w2", upTo(8, 4));
    expect(driver.record()).toMatchObject({ step: 1, state: "cancelling" });
    driver.saved("w1", "checkpoint", 1);
    expect(driver.kinds("w1")).toEqual(["release"]);
    driver.released("w1");
    expect(driver.record().state).toBe("cancelling");
    driver.hello("w2", { incarnation: "w2.2" });
    expect(driver.record()).toMatchObject({ state: "cancelled", checkpoints: [{ step: 1 }] });
  });

  test("before the first step has nothing to keep", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.happens({ kind: "cancel", job: "job" });
    expect(driver.kinds("w1")).toEqual(["release"]);
  });

  test("while the weights are saved keeps a checkpoint instead", () => {
    const driver = FleetDriver.started(["w1"], { steps: 1 });
    driver.report("w1", upTo(8));
    driver.happens({ kind: "cancel", job: "job" });
    expect(driver.sent("w1")).toMatchObject([{ kind: "save", what: "checkpoint" }]);
    driver.saved("w1", "weights", 1);
    expect(driver.record().weights).toBe(undefined);
    driver.saved("w1", "checkpoint", 1);
    driver.released("w1");
    expect(driver.record()).toMatchObject({ state: "cancelled", checkpoints: [{ step: 1 }] });
  });

  test("after the weights are saved is too late", () => {
    const driver = FleetDriver.started(["w1"], { steps: 1 });
    driver.report("w1", upTo(8));
    driver.saved("w1", "weights", 1);
    driver.happens({ kind: "cancel", job: "job" });
    driver.released("w1");
    expect(driver.record().state).toBe("done");
  });

  test("counts for a job that failed and is in the queue again while workers still let go of it", () => {
    const driver = FleetDriver.started(["w1"]);
    const failed = { kind: "failed", job: "job", attempt: 1, cause: "data" } as const;
    driver.say("w1", { ...failed, message: "a picture is gone" });
    driver.happens({ kind: "resume", job: "job" });
    expect(driver.record().state).toBe("queued");
    driver.happens({ kind: "cancel", job: "job" });
    expect(driver.record().state).toBe("cancelled");
    driver.released("w1");
    expect(driver.record()).toMatchObject({ state: "cancelled", attempt: 1 });
    expect(driver.run).toBe(undefined);
  });

  test("can be taken back: the job goes on from its checkpoint in a new attempt", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.report("w1", upTo(8));
    driver.happens({ kind: "cancel", job: "job" });
    driver.saved("w1", "checkpoint", 1);
    driver.released("w1");
    driver.happens({ kind: "resume", job: "job" });
    expect(driver.record()).toMatchObject({ attempt: 2, step: 1, endedMs: 0 });
    expect(driver.kinds("w1")).toEqual(["prepare"]);
    driver.prepared("w1");
    expect(driver.sent("w1")).toMatchObject([{ kind: "load", step: 1, source: { step: 1 } }]);
  });
});

describe("a failure", () => {
  test("to read a picture costs its worker its place, and the job its life only on the last one", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    const message = "the picture /net/x.png can no longer be read: EIO: i/o error, read";
    const unread = { kind: "failed", job: "job", attempt: 1, cause: "read", message } as const;
    driver.report("w1", upTo(4));
    driver.say("w2", unread);
    expect(driver.said()[0]).toBe(`w2 is set aside: ${message}`);
    expect(driver.kinds("w2")).toEqual(["release"]);
    expect(driver.record()).toMatchObject({ state: "training", step: 0, attempt: 1 });
    expect(driver.round("w1").members).toMatchObject([{ workerId: "w1" }]);
    driver.report("w1", upTo(8));
    expect(driver.record()).toMatchObject({ step: 1, attempt: 1 });
    driver.say("w1", unread);
    expect(driver.record()).toMatchObject({
      state: "failed",
      reason: `w1 could not go on, and no other worker is left: ${message}`,
    });
  });

  test.each(["data", "config", "numbers"] as const)("of cause %s ends the job", (cause) => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.say("w2", { kind: "failed", job: "job", attempt: 1, cause, message: "x.png is torn" });
    expect(driver.record()).toMatchObject({ state: "failed", reason: "x.png is torn" });
  });

  test("of a newcomer's data sets the newcomer aside, and the others go on", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.hello("w2");
    const message = "/data/a.png is not on this worker";
    driver.say("w2", { kind: "failed", job: "job", attempt: 1, cause: "config", message });
    expect(driver.record()).toMatchObject({ state: "training" });
    expect(driver.kinds("w2").at(-1)).toBe("release");
  });

  test.each(["exit", "error"] as const)("of cause %s costs the worker its child", (cause) => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.say("w2", { kind: "failed", job: "job", attempt: 1, cause, message: "gone" });
    expect(driver.record()).toMatchObject({ state: "training", generation: 2 });
    expect(driver.kinds("w2")).toEqual(["prepare"]);
  });

  test("of a fourth time sets the worker aside for a while, and where that is the last one the job fails", () => {
    const driver = FleetDriver.started(["w1"]);
    const fail = (): void => {
      const { attempt } = driver.record();
      driver.say("w1", {
        kind: "failed",
        job: "job",
        attempt,
        cause: "error",
        message: "too big",
      });
    };
    for (let time = 1; time <= 3; time += 1) {
      fail();
      expect(driver.kinds("w1")).toEqual(["prepare"]);
    }
    fail();
    expect(driver.record()).toMatchObject({
      state: "failed",
      reason: "no worker is left; it failed 4 times: too big; it is asked again after 30 s",
    });
  });

  test("is forgiven when the time is over, and costs twice as much the next time", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    const fail = (): void => {
      driver.say("w2", {
        ...{ kind: "failed", job: "job", attempt: 1, cause: "error", message: "broken" },
      });
    };
    for (let time = 1; time <= 4; time += 1) fail();
    driver.pass(29_750, ["w1", "w2"]);
    expect(driver.kinds("w2").slice(1)).toEqual([]);
    driver.pass(250, ["w1", "w2"]);
    expect(driver.kinds("w2")).toEqual(["prepare"]);
    // The same again as another process of the name: it has not become another worker by that.
    driver.hello("w2", { incarnation: "w2.2" });
    expect(driver.kinds("w2")).toEqual(["welcome", "prepare"]);
    driver.say(
      "w2",
      { kind: "failed", job: "job", attempt: 1, cause: "exit", message: "broken" },
      "w2.2",
    );
    expect(driver.sent("w2")).toEqual([
      { kind: "spare", reason: "it failed 5 times: broken; it is asked again after 60 s" },
    ]);
    expect(driver.record().state).toBe("training");
  });

  test("of a worker that was lost is none: machines may come and go as they like", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    for (let life = 2; life < 50; life += 1) {
      driver.beat("w1", 0);
      driver.hello("w2", { incarnation: `w2.${life}` });
      expect(driver.kinds("w2")).toEqual(["welcome", "prepare"]);
    }
  });

  test("of an attempt that is over changes nothing", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.say("w1", { kind: "failed", job: "job", attempt: 0, cause: "data", message: "old" });
    expect(driver.record().state).toBe("training");
  });
});

describe("out of memory", () => {
  const failed = { kind: "failed", job: "job", cause: "memory", message: "OOM" } as const;

  test("before the first commit, all begin again with half the micro-batch", () => {
    const driver = FleetDriver.started(["w1", "w2"], { batch: 48, microBatch: 6 });
    driver.say("w2", { ...failed, attempt: 1 });
    expect(driver.record()).toMatchObject({
      ...{ attempt: 2, step: 0, pin: undefined, plan: { settings: { microBatch: 3 } } },
    });
    expect(driver.said()).toEqual([
      "w2 ran out of memory: the job begins again with a micro-batch of 3 instead of 6 on all workers",
    ]);
    // Another that finds the same out is not heard about the attempt before.
    driver.say("w1", { ...failed, attempt: 1 });
    expect(driver.record().plan.settings.microBatch).toBe(3);
    for (const id of ["w1", "w2"]) driver.released(id);
    expect(driver.sent("w2")).toMatchObject([
      { kind: "prepare", order: { attempt: 2, settings: { microBatch: 3 } } },
    ]);
    driver.say("w2", { ...failed, attempt: 2 });
    expect(driver.record().plan.settings.microBatch).toBe(1);
  });

  test("with a micro-batch of one already, the job fails", () => {
    const driver = FleetDriver.started(["w1"], { microBatch: 1 });
    driver.say("w1", { ...failed, attempt: 1 });
    expect(driver.record()).toMatchObject({
      state: "failed",
      reason: "w1 has too little memory even for a micro-batch of 1: OOM",
    });
  });

  test("after the first commit, the worker waits and the others go on", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    driver.say("w2", { ...failed, attempt: 1 });
    expect(driver.record()).toMatchObject({ attempt: 1, state: "training", step: 1 });
    expect(driver.record().plan.settings.microBatch).toBe(2);
    expect(driver.said()[0]).toBe("w2 is set aside: OOM");
    driver.released("w2");
    expect(driver.sent("w2")).toEqual([
      { kind: "spare", reason: "it failed once: OOM; it is asked again after 30 s" },
    ]);
    driver.pass(30_000, ["w1", "w2"]);
    expect(driver.kinds("w2")).toEqual(["prepare"]);
  });
});

describe("too few members", () => {
  test("finish the step in flight and then wait, with the reason", () => {
    const driver = FleetDriver.started(["w1", "w2"], { minWorkers: 2 });
    driver.hello("w2", { incarnation: "w2.2" });
    expect(driver.round("w1")).toMatchObject({ generation: 2, step: 0 });
    driver.report("w1", upTo(8));
    expect(driver.record()).toMatchObject({
      step: 1,
      state: "waiting",
      reason: "1 of 2 workers hold the state",
    });
    driver.say("w2", { kind: "prepared", job: "job", attempt: 1, probe: "probe" }, "w2.2");
    expect(driver.kinds("w1")).toEqual(["offer"]);
  });
});

test("a record in which only the step changed is kept at most once a second", () => {
  const driver = FleetDriver.started(["w1"], { steps: 100, checkpointEvery: 50 });
  const kept: number[] = [];
  for (let i = 0; i < 10; i += 1) {
    driver.nowMs += 300;
    driver.report("w1", upTo(8));
    kept.push(driver.records.get("job")?.step ?? -1);
  }
  expect(kept).toEqual([1, 1, 1, 1, 5, 5, 5, 5, 9, 9]);
});

test("the status counts what is left from the pace of the last steps", () => {
  const driver = FleetDriver.started(["w1"]);
  expect(jobStatus(driver.fleet, "job")).toMatchObject({ secondsLeft: -1, imagesPerSecond: 0 });
  driver.nowMs += 400;
  driver.report("w1", upTo(8));
  expect(jobStatus(driver.fleet, "job", driver.nowMs)).toMatchObject({
    ...{ step: 1, steps: 3, workers: 1, batch: 16, imagesPerSecond: 40, secondsLeft: 0.8 },
  });
  expect(jobStatus(driver.fleet, "job", driver.nowMs + 100).secondsLeft).toBeCloseTo(0.7);
});
