import { describe, expect, test } from "vitest";
import type { JobRecord } from "../../src/control/record.js";
import { FleetDriver, held, record, upTo } from "./fleetDriver.js";

const running: JobRecord = {
  ...record("job"),
  ...{ order: 1, state: "training", attempt: 1, generation: 4, step: 1 },
  pin: { numerics: "toy", probe: "probe" },
};

function restarted(part: Partial<JobRecord> = {}): FleetDriver {
  return new FleetDriver([{ ...running, ...part }], 2);
}

describe("after a start of the coordinator", () => {
  test("a job that was under way waits for the workers that hold its state", () => {
    const driver = restarted();
    driver.happens({ kind: "tick" });
    expect(driver.record()).toMatchObject({ state: "waiting", attempt: 1 });
    driver.hello("w1", { held: held(1) });
    expect(driver.kinds("w1")).toEqual(["welcome"]);
  });

  test.each([
    [4999, []],
    [5000, ["round"]],
  ])("it goes on %i ms later with those who came", (ms, kinds) => {
    const driver = restarted();
    driver.happens({ kind: "tick" });
    driver.hello("w1", { held: held(1) });
    driver.pass(ms, ["w1"]);
    expect(driver.kinds("w1")).toEqual(kinds);
    expect(driver.record().generation).toBe(kinds.length === 0 ? 4 : 5);
  });

  test("the highest step counts, and who holds less takes it from there", () => {
    const driver = restarted();
    driver.hello("w1", { held: held(1) });
    driver.hello("w2", { held: held(2) });
    driver.pass(5000, ["w1", "w2"]);
    expect(driver.record().step).toBe(2);
    expect(driver.sent("w2")).toMatchObject([
      { kind: "offer", step: 2 },
      { kind: "round", step: 2, followers: ["w1.1"] },
    ]);
    expect(driver.sent("w1")).toMatchObject([
      { kind: "load", step: 2, source: { kind: "peer", address: "w2.1" } },
      { kind: "round", step: 2 },
    ]);
  });

  test("who said that it holds the state and comes back without it is not gone on with", () => {
    const driver = restarted();
    driver.hello("w1", { held: held(1) });
    driver.hello("w1");
    expect(driver.said()).toEqual(["w1 is lost: it came back without the state"]);
    driver.hello("w2", { held: held(1) });
    driver.pass(5000, ["w1", "w2"]);
    expect(driver.round("w2").members.map(({ workerId }) => workerId)).toEqual(["w2"]);
  });

  test("a worker that is in a later attempt than the record has outlived it: the job goes on in that one", () => {
    const driver = restarted();
    driver.hello("w1", { held: held(1) });
    driver.hello("w2", { held: held(2, { attempt: 3 }) });
    expect(driver.sent("w1")).toMatchObject([{ kind: "release" }]);
    expect(driver.records.get("job")).toMatchObject({ attempt: 3 });
    driver.pass(5000, ["w1", "w2"]);
    expect(driver.record()).toMatchObject({ attempt: 3, step: 2, state: "training" });
    expect(driver.round("w2")).toMatchObject({ attempt: 3, step: 2, generation: 5 });
  });

  test("who holds the step before the last commit is told to apply its sum", () => {
    const driver = restarted({ step: 2 });
    driver.hello("w1", { held: held(1, { summed: true }) });
    driver.pass(5000, ["w1"]);
    expect(driver.sent("w1")).toMatchObject([
      { kind: "commit", step: 1, save: false },
      { kind: "round", step: 2 },
    ]);
  });

  test.each([
    ["nobody holds the state", undefined],
    ["only steps from before the last commit are held", held(0)],
    ["only another attempt is held", held(2, { attempt: 0 })],
  ])("when %s a new attempt is recorded before anything is sent", (_, state) => {
    const checkpoints = [{ step: 1, attempt: 1, name: "c" }];
    const driver = restarted({ step: 2, checkpoints });
    driver.hello("w1", { held: state });
    driver.released("w1");
    driver.pass(19_750, ["w1"]);
    expect(driver.record().attempt).toBe(1);
    driver.pass(250, ["w1"]);
    expect(driver.record()).toMatchObject({ attempt: 2, step: 1, generation: 0 });
    driver.released("w1");
    expect(driver.records.get("job")?.attempt).toBe(2);
    expect(driver.run?.participants.get("w1")?.stage.kind).toBe("preparing");
  });

  test("who kept its ranges goes on with them, and only the rest is dealt", () => {
    const driver = restarted();
    driver.hello("w1", { held: held(1, { ranges: [{ first: 4, end: 8 }] }) });
    driver.hello("w2", { held: held(1, { ranges: [{ first: 0, end: 2 }] }) });
    driver.pass(5000, ["w1", "w2"]);
    expect(driver.round("w1").members.map(({ ranges }) => ranges)).toEqual([
      [{ first: 4, end: 8 }],
      [
        { first: 0, end: 2 },
        { first: 2, end: 4 },
      ],
    ]);
  });

  test("of two who kept the same shards one starts over with a copy", () => {
    const driver = restarted();
    driver.hello("w1", { held: held(1, { ranges: [{ first: 0, end: 5 }] }) });
    driver.hello("w2", { held: held(1, { ranges: [{ first: 4, end: 8 }] }) });
    driver.pass(5000, ["w1", "w2"]);
    expect(driver.kinds("w1")).toEqual(["offer", "round"]);
    expect(driver.kinds("w2")).toEqual(["load", "round"]);
    expect(driver.round("w2").members.map(({ workerId }) => workerId)).toEqual(["w1"]);
  });

  describe("a holder whose stream is lost again before the job goes on", () => {
    /** w1 came back with state 1 after 1 s, and its stream was lost; 1 s later w1 counts as lost. */
    function lostAgain(part: Partial<JobRecord> = {}): FleetDriver {
      const driver = restarted({ members: ["w1", "w2"], ...part });
      driver.pass(1000);
      driver.hello("w1", { held: held(1) });
      driver.disconnect("w1");
      driver.pass(1000);
      expect(driver.said()).toEqual([
        "w1 is lost: its stream ended and it did not come back within 1000 ms",
      ]);
      return driver;
    }

    test("is waited for, though all others are known to hold nothing", () => {
      const driver = lostAgain();
      driver.hello("w2");
      driver.pass(19_750, ["w2"]);
      expect(driver.record().attempt).toBe(1);
      driver.pass(250, ["w2"]);
      expect(driver.record()).toMatchObject({ attempt: 2, step: 0 });
    });

    test("that comes back goes on from its state", () => {
      const driver = lostAgain();
      driver.pass(4750);
      driver.hello("w1", { held: held(1) });
      expect(driver.record()).toMatchObject({ attempt: 1, step: 1, state: "training" });
      expect(driver.kinds("w1")).toEqual(["welcome", "round"]);
    });

    test("is not waited for if its state is of no use", () => {
      const driver = lostAgain({ step: 2 });
      // 20 s from the start of the coordinator, of which 2 s are over; no time of its own.
      driver.pass(17_750);
      expect(driver.record().attempt).toBe(1);
      driver.pass(250);
      expect(driver.record().attempt).toBe(2);
    });

    test("keeps nobody who holds the state waiting for longer", () => {
      const driver = lostAgain();
      driver.hello("w2", { held: held(1) });
      driver.pass(250, ["w2"]);
      expect(driver.kinds("w2")).toEqual([]);
      driver.pass(250, ["w2"]);
      expect(driver.round("w2")).toMatchObject({ step: 1, members: [{ workerId: "w2" }] });
    });

    test("has told which step was committed: who has the sum of the one before applies it", () => {
      const driver = restarted({ members: ["w1", "w2"] });
      driver.hello("w1", { held: held(2) });
      driver.disconnect("w1");
      driver.pass(1000);
      driver.hello("w2", { held: held(1, { summed: true }) });
      driver.pass(4000, ["w2"]);
      expect(driver.sent("w2")).toMatchObject([
        { kind: "commit", step: 1 },
        { kind: "round", step: 2 },
      ]);
    });

    test("is not mistaken for a new process of its name", () => {
      const driver = lostAgain();
      driver.hello("w1", { incarnation: "w1.2" });
      driver.say("w1", { kind: "prepared", job: "job", attempt: 1, probe: "probe" }, "w1.2");
      driver.hello("w2");
      driver.pass(500, ["w2"]);
      expect(driver.record()).toMatchObject({ attempt: 2, step: 0 });
    });

    test("that left for good is not waited for", () => {
      const driver = restarted({ members: ["w1", "w2"] });
      driver.hello("w1", { held: held(1) });
      driver.say("w1", { kind: "leave", reason: "drained" });
      expect(driver.record().attempt).toBe(1);
      driver.hello("w2");
      // Somebody nobody knows of may hold it, and has a moment to say so.
      driver.pass(2_250, ["w2"]);
      expect(driver.record().attempt).toBe(1);
      driver.pass(250, ["w2"]);
      expect(driver.record()).toMatchObject({ attempt: 2, step: 0 });
    });
  });

  test("two holders of different parameters go back to the checkpoint", () => {
    const driver = restarted();
    driver.hello("w1", { held: held(1) });
    driver.hello("w2", { held: held(1, { parameterChecksum: 5 }) });
    driver.pass(5000, ["w1", "w2"]);
    expect(driver.record()).toMatchObject({ attempt: 2, step: 0 });
    expect(driver.said()).toContain(
      "the parameters of step 1 have checksum 101 on w1 and 5 on w2: goes back to step 0",
    );
  });

  test("a worker that got ready for the coordinator before is of use to this one", () => {
    const driver = restarted();
    driver.hello("w1", { held: held(1) });
    driver.hello("w2");
    driver.prepared("w2");
    expect(driver.kinds("w2")).toEqual([]);
    driver.pass(5000, ["w1", "w2"]);
    expect(driver.kinds("w2")).toEqual(["load", "round"]);
  });

  test.each([
    ["probe", "odd", "toy"],
    ["class", "probe", "other"],
  ])("a worker that got ready with another %s is not", (_, probe, numerics) => {
    const driver = restarted();
    driver.hello("w1", { held: held(1) });
    driver.hello("w2", { numerics });
    driver.prepared("w2", probe);
    expect(driver.kinds("w2")).toEqual(["release"]);
  });

  test("a worker that was given to another job meanwhile does not come back to this one as well", () => {
    const driver = new FleetDriver([running, { ...record("other", { priority: 1 }), order: 2 }], 2);
    driver.hello("w1");
    expect(driver.sent("w1")).toMatchObject([{}, { kind: "prepare", order: { job: "other" } }]);
    // It was getting ready for this one when it said hello.
    driver.prepared("w1");
    const takesPart = [...driver.fleet.runs.values()].filter((run) => run.participants.has("w1"));
    expect(takesPart.map(({ job }) => job)).toEqual(["other"]);
    expect(driver.sent("w1")).toEqual([]);
  });

  test("a job that was being cancelled keeps what is held, and is cancelled", () => {
    const driver = restarted({ state: "cancelling" });
    driver.hello("w1", { held: held(1) });
    driver.pass(5000, ["w1"]);
    expect(driver.sent("w1")).toMatchObject([{ kind: "save", what: "checkpoint" }]);
    driver.saved("w1", "checkpoint", 1);
    driver.released("w1");
    expect(driver.record().state).toBe("cancelled");
  });

  test("a job whose weights are saved is done, and whoever still holds it lets go", () => {
    const driver = restarted({ weights: { parameterDigest: "d" } });
    driver.happens({ kind: "tick" });
    expect(driver.record().state).toBe("done");
    driver.hello("w1", { held: held(3) });
    expect(driver.kinds("w1")).toEqual(["welcome", "release"]);
  });
});

test("of two jobs that were under way both come to their end", () => {
  const other = { ...record("other"), order: 2, attempt: 1, state: "saving" as const };
  const driver = new FleetDriver([
    { ...running, weights: { parameterDigest: "d" } },
    { ...other, weights: { parameterDigest: "d" } },
  ]);
  driver.happens({ kind: "tick" });
  expect(driver.record("job").state).toBe("done");
  expect(driver.record("other").state).toBe("done");
});

describe("when all members are lost at once", () => {
  function silent(): FleetDriver {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    driver.pass(5000);
    return driver;
  }

  test("the job waits for those that may be alive, by name", () => {
    const driver = silent();
    expect(driver.record()).toMatchObject({
      state: "waiting",
      reason: "waits for w1, w2 to come back",
    });
  });

  test("it goes on as soon as all are back", () => {
    const driver = silent();
    driver.hello("w1", { held: held(1) });
    expect(driver.record().state).toBe("waiting");
    driver.hello("w2", { held: held(1) });
    expect(driver.record()).toMatchObject({ state: "training", attempt: 1, step: 1 });
  });

  test("a process that was started anew holds nothing, and is not waited for", () => {
    const driver = silent();
    driver.hello("w1", { held: held(1) });
    driver.hello("w2", { incarnation: "w2.2" });
    expect(driver.record()).toMatchObject({ state: "training", attempt: 1 });
  });

  test("it goes back to the checkpoint when nobody comes", () => {
    const driver = silent();
    driver.pass(19_999);
    expect(driver.record().attempt).toBe(1);
    driver.pass(1);
    expect(driver.record()).toMatchObject({ attempt: 2, step: 0, state: "waiting" });
  });

  test("one that was lost with the sum of the last step is waited for, and applies it", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4));
    driver.disconnect("w1");
    driver.pass(1_000, ["w2"]);
    driver.report("w2", upTo(8, 4));
    expect(driver.record().step).toBe(1);
    driver.say("w2", { kind: "failed", job: "job", attempt: 1, cause: "exit", message: "gone" });
    expect(driver.record()).toMatchObject({
      ...{ state: "waiting", attempt: 1, reason: "waits for w1 to come back" },
    });
    driver.hello("w1", { held: held(0, { summed: true }) });
    expect(driver.sent("w1")).toContainEqual(expect.objectContaining({ kind: "commit", step: 0 }));
    expect(driver.record()).toMatchObject({ state: "training", attempt: 1, step: 1 });
  });

  test("what one has told of the last step holds, also where it is of no use any more", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.reportAll();
    const again = new FleetDriver([...driver.records.values()], 2);
    const facts = { step: 1, loss: 3, sumChecksum: 9 };
    again.hello("w1", { held: held(2, { trail: [facts] }) });
    const failed = { kind: "failed", job: "job", attempt: 1, cause: "memory" } as const;
    again.say("w1", { ...failed, message: "out of memory" });
    again.hello("w2", { held: held(1, { ranges: [{ first: 4, end: 8 }], summed: true }) });
    expect(again.sent("w2")).toContainEqual(
      expect.objectContaining({ kind: "commit", step: 1, facts }),
    );
    expect(again.record()).toMatchObject({ step: 2, loss: 3 });
  });

  test("one that was lost before it had the sum of the last step is not", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.disconnect("w1");
    driver.pass(1_000, ["w2"]);
    driver.report("w2", upTo(8));
    expect(driver.record().step).toBe(1);
    driver.say("w2", { kind: "failed", job: "job", attempt: 1, cause: "exit", message: "gone" });
    expect(driver.record().attempt).toBe(2);
  });

  test("a child that is known to be gone is not waited for", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.say("w1", { kind: "failed", job: "job", attempt: 1, cause: "exit", message: "gone" });
    expect(driver.record().attempt).toBe(2);
    expect(driver.kinds("w1")).toEqual(["prepare"]);
  });

  test("who was given up as stuck is taken back with the state where nobody else has it", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    driver.report("w1", upTo(4));
    driver.pass(5_250, ["w1", "w2"]);
    expect(driver.said()).toContain("w2 is lost: for 5 s it finished no shard");
    driver.disconnect("w1");
    driver.pass(1_000);
    expect(driver.record()).toMatchObject({ state: "waiting", attempt: 1 });
    driver.hello("w2", { held: held(1) });
    expect(driver.kinds("w2")).not.toContain("release");
    // w1 was a member to the last, and may be ahead.
    driver.pass(19_250, ["w2"]);
    expect(driver.record()).toMatchObject({ state: "training", attempt: 1, step: 1 });
    expect(driver.round("w2").members.map(({ workerId }) => workerId)).toEqual(["w2"]);
  });

  test("a cancelled job waits for no longer than a lease", () => {
    const driver = silent();
    driver.happens({ kind: "cancel", job: "job" });
    driver.pass(4_999);
    expect(driver.record().state).toBe("cancelling");
    driver.pass(1);
    expect(driver.record().state).toBe("cancelled");
  });
});
