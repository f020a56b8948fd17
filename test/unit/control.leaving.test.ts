import { describe, expect, test } from "vitest";
import { workerStatuses } from "../../src/control/view.js";
import { FleetDriver, held, record, upTo } from "./fleetDriver.js";

function stateOf(driver: FleetDriver, workerId: string): string {
  const found = workerStatuses(driver.fleet, driver.nowMs).find(({ id }) => id === workerId);
  return `${found?.state ?? "unknown"}: ${found?.reason ?? ""}`;
}

function leaves(driver: FleetDriver, workerId: string): void {
  driver.say(workerId, { kind: "leaving", reason: "SIGTERM" });
}

describe("a member that leaves", () => {
  test("finishes its part of the round, and is released at the boundary: nobody does anything again", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4));
    leaves(driver, "w2");
    expect(driver.commands).toEqual([]);
    expect(stateOf(driver, "w2")).toBe("leaving: SIGTERM");
    driver.report("w2", upTo(8, 4));
    expect(driver.kinds("w2")).toEqual(["commit"]);
    driver.applied("w1", 1);
    expect(driver.kinds("w2")).toEqual(["release"]);
    expect(driver.said()).toEqual(["w2 leaves at step 1"]);
    expect(driver.round("w1")).toMatchObject({
      ...{ step: 1, generation: 2 },
      members: [{ workerId: "w1", ranges: [{ first: 0, end: 8 }] }],
    });
    driver.released("w2");
    driver.say("w2", { kind: "leave", reason: "SIGTERM" });
    expect(stateOf(driver, "w2")).toBe("lost: it left: SIGTERM");
    driver.report("w1", upTo(8));
    expect(driver.record()).toMatchObject({ step: 2, attempt: 1 });
  });

  test("is dealt nothing of what another leaves behind, while a third is there", () => {
    const driver = FleetDriver.started(["w1", "w2", "w3"]);
    leaves(driver, "w2");
    driver.hello("w3", { incarnation: "w3.2" });
    expect(driver.round("w1").members.map(({ ranges }) => ranges)).toEqual([
      [
        { first: 0, end: 3 },
        { first: 6, end: 8 },
      ],
      [{ first: 3, end: 6 }],
    ]);
  });

  test("takes over what is left where all leave", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4), { computeMs: 1 });
    driver.report("w2", upTo(8, 4), { computeMs: 1 });
    leaves(driver, "w2");
    driver.disconnect("w1");
    driver.pass(1_000, ["w2"]);
    expect(driver.record()).toMatchObject({ generation: 2, step: 1 });
  });

  test("is told again by a coordinator that drains it, when it is back", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.disconnect("w2");
    driver.happens({ kind: "drain", workerId: "w2" });
    expect(driver.sent("w2")).toEqual([]);
    driver.hello("w2", {
      held: held(0),
    });
    expect(driver.kinds("w2")).toEqual(["welcome", "round", "drain"]);
  });

  test("leaves the job waiting where too few stay, and it goes on when another comes", () => {
    const driver = FleetDriver.started(["w1", "w2"], { minWorkers: 2 });
    leaves(driver, "w2");
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    driver.applied("w1", 1);
    expect(driver.kinds("w2")).toEqual(["release"]);
    expect(driver.record()).toMatchObject({
      ...{ step: 1, state: "waiting", reason: "1 of 2 workers hold the state" },
    });
    driver.hello("w3");
    driver.prepared("w3");
    driver.loaded("w3", 1);
    expect(driver.record()).toMatchObject({ step: 1, state: "training", attempt: 1 });
    expect(driver.round("w3").step).toBe(1);
  });

  test("is never asked for a checkpoint while another can write it", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    leaves(driver, "w1");
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    expect(driver.sent("w1")[0]).toMatchObject({ kind: "commit", step: 1, save: false });
    expect(driver.sent("w2")[0]).toMatchObject({ kind: "commit", step: 1, save: true });
  });
});

describe("the last holder of the state, when it leaves,", () => {
  /** w1 alone in step 1, with steps that take 100 ms. */
  function alone(): FleetDriver {
    const driver = FleetDriver.started(["w1"]);
    driver.pass(100, ["w1"]);
    driver.report("w1", upTo(8));
    return driver;
  }

  test("saves it first, and the next attempt goes on from that very step", () => {
    const driver = alone();
    leaves(driver, "w1");
    expect(driver.commands).toEqual([]);
    driver.report("w1", upTo(8));
    expect(driver.kinds("w1")).toEqual(["commit", "save"]);
    driver.saved("w1", "checkpoint", 2);
    expect(driver.kinds("w1")).toEqual(["release"]);
    expect(driver.said().slice(1)).toEqual([
      "w1 leaves at step 2",
      "goes on from the checkpoint of step 2",
    ]);
    expect(driver.record()).toMatchObject({ step: 2, attempt: 2, state: "waiting" });
    driver.hello("w2");
    driver.prepared("w2");
    expect(driver.sent("w2")).toMatchObject([
      { kind: "load", step: 2, source: { kind: "checkpoint", step: 2 } },
    ]);
  });

  test("drops a round that would take long, and saves what it has", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.pass(20_000, ["w1"]);
    driver.report("w1", upTo(8));
    driver.pass(9_750, ["w1"]);
    leaves(driver, "w1");
    expect(driver.kinds("w1")).toEqual(["save"]);
    driver.saved("w1", "checkpoint", 1);
    expect(driver.record()).toMatchObject({ step: 1, attempt: 2, checkpoints: [{ step: 1 }] });
  });

  test("goes on with a round that was dropped, in another generation and with what was made of it", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    const slow = { computeMs: 40_000 };
    driver.report("w1", upTo(4), slow);
    driver.report("w2", upTo(8, 4), slow);
    driver.applied("w1", 1);
    driver.applied("w2", 1);
    // It is faster by now than when the round was dealt.
    driver.report("w1", upTo(4), { computeMs: 1 });
    driver.hello("w3");
    leaves(driver, "w1");
    leaves(driver, "w2");
    driver.pass(10_250, ["w1", "w2", "w3"]);
    expect(driver.kinds("w1")).toEqual(["save"]);
    for (const workerId of ["w1", "w2"]) {
      const failed = { kind: "save-failed", job: "job", attempt: 1, step: 1 } as const;
      driver.say(workerId, { ...failed, what: "checkpoint", message: "the disk is full" });
    }
    expect(driver.record()).toMatchObject({ step: 1, attempt: 1, generation: 2 });
    expect(driver.round("w2")).toMatchObject({
      ...{ step: 1, generation: 2, trial: 2 },
      members: [{ ranges: [{ first: 0, end: 4 }] }, { ranges: [{ first: 4, end: 8 }] }],
    });
  });

  test("hands it over to one that is about to get ready, and saves what it has meanwhile", () => {
    const driver = FleetDriver.started(["w1"], { steps: 10, checkpointEvery: 10 });
    driver.pass(100, ["w1"]);
    driver.report("w1", upTo(8));
    driver.hello("w2");
    leaves(driver, "w1");
    driver.report("w1", upTo(8));
    expect(driver.kinds("w1")).toEqual(["commit", "save"]);
    driver.saved("w1", "checkpoint", 2);
    // Meanwhile it goes on.
    expect(driver.kinds("w1")).toEqual(["round"]);
    driver.prepared("w2");
    driver.report("w1", upTo(8));
    driver.applied("w1", 3);
    driver.loaded("w2", 3);
    driver.report("w2", []);
    driver.report("w1", upTo(8));
    expect(driver.kinds("w1")).toEqual(["commit"]);
    driver.applied("w2", 4);
    expect(driver.kinds("w1")).toEqual(["release"]);
    expect(driver.round("w2")).toMatchObject({ step: 4, members: [{ workerId: "w2" }] });
    expect(driver.record()).toMatchObject({ step: 4, attempt: 1, checkpoints: [{ step: 2 }] });
  });

  test.each([
    [9_999, []],
    [10_000, ["release"]],
  ])("waits for one that gets ready for %i ms: %j", (ms, kinds) => {
    const driver = FleetDriver.started(["w1", "w2"], { minWorkers: 2 });
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    driver.hello("w2", { incarnation: "w2.2" });
    driver.report("w1", upTo(8));
    expect(driver.record()).toMatchObject({ state: "waiting", step: 2 });
    leaves(driver, "w1");
    expect(driver.kinds("w1")).toEqual(["save"]);
    driver.saved("w1", "checkpoint", 2);
    const said: string[] = [];
    for (let passed = 0; passed < ms; passed += 250) {
      driver.pass(Math.min(250, ms - passed), ["w1"]);
      said.push(...driver.kinds("w1"));
      driver.say("w2", { kind: "released", job: "none" }, "w2.2");
    }
    expect(said.filter((kind) => kind === "release")).toEqual(kinds);
  });
});

describe("where one leaves and another is lost or leaves as well,", () => {
  function bothReported(): FleetDriver {
    const driver = FleetDriver.started(["w1", "w2"]);
    leaves(driver, "w2");
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    expect(driver.kinds("w2")).toEqual(["commit"]);
    return driver;
  }

  function expectSaved(driver: FleetDriver, by: string): void {
    driver.saved(by, "checkpoint", 1);
    expect(driver.kinds(by)).toEqual(["release"]);
    expect(driver.record()).toMatchObject({ step: 1, attempt: 2, checkpoints: [{ step: 1 }] });
  }

  test("a member that died with its last report is not left alone with the state", () => {
    const driver = bothReported();
    driver.disconnect("w1");
    driver.hello("w1", { incarnation: "w1.2" });
    expect(driver.kinds("w2")).toEqual(["save"]);
    expectSaved(driver, "w2");
  });

  test("the one that stays last saves, though neither was the last when it was asked", () => {
    const driver = bothReported();
    driver.applied("w1", 1);
    driver.released("w2");
    leaves(driver, "w1");
    driver.report("w1", upTo(8));
    expect(driver.kinds("w1")).toEqual(["commit", "save"]);
  });

  test("both save before either is released", () => {
    const driver = bothReported();
    leaves(driver, "w1");
    driver.applied("w1", 1);
    driver.applied("w2", 1);
    expect([...driver.kinds("w1"), ...driver.kinds("w2")]).toEqual(["save"]);
    expectSaved(driver, "w1");
  });

  test("one that stays and says nothing is found out in the next round", () => {
    const driver = bothReported();
    driver.pass(1_000, ["w1", "w2"]);
    expect(driver.round("w2").members.map(({ workerId }) => workerId)).toEqual(["w1", "w2"]);
  });

  test("an evaluation nobody knows the length of is dropped, and what is held saved", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.happens({ kind: "submit", record: record("job", { evalEvery: 1 }, 8) });
    driver.prepared("w1");
    driver.loaded("w1");
    driver.report("w1", upTo(8));
    expect(driver.round("w1")).toMatchObject({ round: "evaluation" });
    leaves(driver, "w1");
    expect(driver.kinds("w1")).toEqual(["save"]);
    expectSaved(driver, "w1");
  });

  test("it is tried to save although an earlier checkpoint could not be written", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.report("w1", upTo(8));
    const failed = { kind: "save-failed", job: "job", attempt: 1 } as const;
    const why = { what: "checkpoint", message: "the disk is full" } as const;
    driver.say("w1", { ...failed, ...why, step: 1 });
    leaves(driver, "w1");
    driver.report("w1", upTo(8));
    expect(driver.kinds("w1")).toEqual(["commit", "save"]);
    driver.say("w1", { ...failed, ...why, step: 2 });
    driver.pass(5_000, ["w1"]);
    expect(driver.kinds("w1")).toEqual(["save"]);
    driver.saved("w1", "checkpoint", 2);
    expect(driver.record()).toMatchObject({ step: 2, attempt: 2, checkpoints: [{ step: 2 }] });
  });
});

describe("who holds no state yet, when it leaves,", () => {
  test.each(["getting ready", "ready", "loading"])("is released while %s", (stage) => {
    const driver = FleetDriver.started(["w1"]);
    driver.hello("w2");
    if (stage !== "getting ready") driver.prepared("w2");
    if (stage === "loading") driver.report("w1", upTo(8));
    leaves(driver, "w2");
    expect(driver.kinds("w2")).toEqual(["release"]);
    driver.released("w2");
    expect(driver.kinds("w2")).toEqual([]);
    expect(stateOf(driver, "w2")).toBe("leaving: SIGTERM");
  });

  test("is given no task", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    leaves(driver, "w1");
    const { settings } = driver.fleet.records.get("job")?.plan ?? { settings: undefined };
    expect(settings).toBe(undefined);
    driver.happens({
      ...{ kind: "task", taskId: "one" },
      task: { kind: "index", settings: { name: "a", model: "R50x1", data: "/data" } },
    });
    expect(driver.kinds("w1")).toEqual([]);
    driver.hello("w2");
    expect(driver.kinds("w2")).toEqual(["welcome", "task"]);
  });
});
