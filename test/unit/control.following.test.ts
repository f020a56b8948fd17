import { describe, expect, test } from "vitest";
import type { JobRequest } from "../../src/job/settings.js";
import { jobStatus, workerStatuses } from "../../src/control/view.js";
import { FleetDriver, record, result, upTo } from "./fleetDriver.js";

/** A long job of those workers, in whose round of step 1 the joiners get ready: they follow from state 1. */
function following(
  workers: readonly string[],
  joiners: readonly string[],
  request: Partial<JobRequest> = {},
): FleetDriver {
  const driver = FleetDriver.started(workers, { steps: 60, checkpointEvery: 0, ...request });
  driver.reportAll();
  for (const joiner of joiners) {
    driver.hello(joiner);
    driver.prepared(joiner);
  }
  return driver;
}

function stageOf(driver: FleetDriver, workerId: string): string | undefined {
  return driver.run?.participants.get(workerId)?.stage.kind;
}

function reasonOf(driver: FleetDriver, workerId: string): string {
  return workerStatuses(driver.fleet, driver.nowMs).find(({ id }) => id === workerId)?.reason ?? "";
}

/** Without a word from the workers, lets ticks pass until the step is another one; how long that took. */
function untilCommit(driver: FleetDriver, beating: readonly string[], shardsDone: number): number {
  const [before, since] = [driver.record().step, driver.nowMs];
  while (driver.record().step === before && driver.nowMs - since < 300_000) {
    driver.nowMs += 250;
    driver.happens({ kind: "tick" });
    if (driver.record().step > before) break;
    for (const id of beating) driver.beat(id, shardsDone);
  }
  return driver.nowMs - since;
}

describe("a joiner", () => {
  test("takes the donor's state and follows while the members go on at once", () => {
    const driver = following(["w1"], ["w2"]);
    expect(driver.sent("w1")).toMatchObject([
      { kind: "offer", step: 1 },
      { kind: "round", step: 1, generation: 2, followers: ["w2.1"] },
    ]);
    expect(driver.sent("w2")).toMatchObject([
      { kind: "load", step: 1, source: { kind: "peer", address: "w1.1" } },
      { kind: "round", step: 1, members: [{ workerId: "w1" }], followers: ["w2.1"] },
    ]);
    expect(jobStatus(driver.fleet, "job")).toMatchObject({ workers: 1, reason: "1 worker joins" });
  });

  test("that is level when the others are becomes a member with their commit", () => {
    const driver = following(["w1"], ["w2"]);
    driver.loaded("w2", 1);
    driver.report("w2", []);
    expect(driver.record().step).toBe(1);
    driver.reportAll();
    expect(driver.said()).toContain("w2 joined at step 2");
    expect(driver.kinds("w2")).toEqual(["commit", "round"]);
    const { generation, members, followers } = driver.round("w2");
    expect({ generation, followers }).toEqual({ generation: 3, followers: [] });
    expect(members.map(({ ranges }) => ranges)).toEqual([
      [{ first: 0, end: 4 }],
      [{ first: 4, end: 8 }],
    ]);
  });

  test("that gets ready once somebody has the sum begins at the boundary, which is near", () => {
    const driver = following(["w1", "w2"], []);
    driver.report("w1", upTo(4));
    driver.hello("w3");
    driver.prepared("w3");
    expect(driver.kinds("w3")).toEqual([]);
    expect(driver.kinds("w1")).toEqual([]);
    driver.report("w2", upTo(8, 4));
    expect(driver.sent("w3")).toMatchObject([
      { kind: "load", step: 2 },
      { kind: "round", step: 2, generation: 1, followers: ["w3.1"] },
    ]);
  });

  test("that still takes the state keeps nobody waiting, and goes on following", () => {
    const driver = following(["w1"], ["w2"]);
    driver.reportAll();
    expect(driver.record().step).toBe(2);
    expect(driver.sent("w2")).toMatchObject([
      { kind: "commit", step: 1, save: false },
      { kind: "round", step: 2, members: [{ workerId: "w1" }], followers: ["w2.1"] },
    ]);
    driver.applied("w2", 2);
    driver.report("w2", []);
    driver.reportAll();
    expect(driver.said()).toContain("w2 joined at step 3");
  });

  test("that lacks nothing but the sum is waited for, but no longer than a step takes", () => {
    const driver = FleetDriver.started(["w1"], { steps: 60, checkpointEvery: 0 });
    driver.pass(2000, ["w1"]);
    driver.reportAll();
    driver.hello("w2");
    driver.prepared("w2");
    driver.loaded("w2", 1);
    driver.reportAll();
    expect(driver.record().step).toBe(1);
    expect(untilCommit(driver, ["w1", "w2"], 8)).toBe(2000);
    expect(driver.said()).toContain("w2 could not join: it did not keep up with the others");
    expect(driver.round("w1")).toMatchObject({ step: 2, generation: 2, followers: [] });
    expect(stageOf(driver, "w2")).toBe("ready");
  });

  test("that comes to have the sum meanwhile is in, and the wait is over", () => {
    const driver = following(["w1"], ["w2"]);
    driver.loaded("w2", 1);
    driver.reportAll();
    driver.report("w2", []);
    expect(driver.said()).toContain("w2 joined at step 2");
  });

  test("that dies while it is waited for is waited for no more", () => {
    const driver = following(["w1"], ["w2"]);
    driver.loaded("w2", 1);
    driver.reportAll();
    driver.disconnect("w2");
    expect(driver.record().step).toBe(2);
  });

  test("that hangs costs the others one short wait in more and more steps, and is then set aside", () => {
    const driver = following(["w1"], ["w2"]);
    const waits: number[] = [];
    const began = new Set<number>();
    while (driver.record().step < 59) {
      const { step: before } = driver.record();
      driver.reportAll();
      if (driver.record().step === before) waits.push(untilCommit(driver, ["w1", "w2"], 8));
      // Told to end, it ends, and its fresh child hangs as well.
      if (driver.fleet.members.get("w2")?.closing !== undefined) driver.released("w2");
      if (stageOf(driver, "w2") === "preparing") driver.prepared("w2");
      const stage = driver.run?.participants.get("w2")?.stage;
      if (stage?.kind === "following") began.add(stage.step);
    }
    expect([...began]).toEqual([1, 7, 14, 25, 44]);
    expect(waits).toEqual([250, 250, 250, 250, 250]);
  });

  test("that failed six times to join is set aside, with the reason", () => {
    const driver = following(["w1"], ["w2"], { steps: 400 });
    while (reasonOf(driver, "w2") === "" && driver.record().step < 399) {
      const { step: before } = driver.record();
      driver.reportAll();
      if (driver.record().step === before) untilCommit(driver, ["w1", "w2"], 8);
      if (driver.fleet.members.get("w2")?.closing !== undefined) driver.released("w2");
      if (stageOf(driver, "w2") === "preparing") driver.prepared("w2");
    }
    expect(reasonOf(driver, "w2")).toBe(
      "it could not join 6 times: it did not keep up with the others",
    );
    expect(driver.record().step).toBeLessThan(200);
  });

  test("of other parameters, or another sum, is set aside and costs nobody more", () => {
    for (const how of [{ parameterChecksum: 5 }, { sumChecksum: 5 }]) {
      const driver = following(["w1"], ["w2"]);
      driver.loaded("w2", 1);
      driver.report("w2", [], how);
      driver.reportAll();
      expect(driver.kinds("w2")).toEqual(["release"]);
      expect(driver.round("w1")).toMatchObject({ step: 2, generation: 2, followers: [] });
    }
  });

  test("whose donor is lost before it has the state takes it from another at the next boundary", () => {
    const driver = following(["w1", "w2"], ["w3"]);
    const donor = driver.kinds("w1").includes("offer") ? "w1" : "w2";
    const other = donor === "w1" ? "w2" : "w1";
    driver.hello(donor, { incarnation: `${donor}.2` });
    driver.report(other, upTo(8));
    expect(driver.kinds(other)).toEqual(["commit", "offer", "round"]);
    expect(driver.sent("w3")).toMatchObject([
      { kind: "commit" },
      { kind: "load", step: 2, source: { address: `${other}.1` } },
      { kind: "round", step: 2 },
    ]);
  });

  test("that holds the state goes on where the last member is lost", () => {
    const driver = following(["w1"], ["w2"]);
    driver.loaded("w2", 1);
    driver.hello("w1", { incarnation: "w1.2" });
    expect(driver.round("w2")).toMatchObject({ step: 1, members: [{ workerId: "w2" }] });
    driver.report("w2", upTo(8));
    expect(driver.record()).toMatchObject({ step: 2, attempt: 1 });
  });

  test("whose stream was cut starts over at the next boundary", () => {
    const driver = following(["w1"], ["w2"]);
    driver.disconnect("w2");
    driver.hello("w2");
    expect(driver.kinds("w2")).toEqual(["welcome"]);
    driver.hello("w3");
    driver.prepared("w3");
    expect(driver.kinds("w3")).toEqual(["load", "round"]);
    expect(driver.kinds("w2")).toEqual([]);
    driver.loaded("w3", 1);
    driver.report("w3", []);
    driver.reportAll();
    expect(driver.sent("w2")).toMatchObject([
      { kind: "load", step: 2 },
      { kind: "round", step: 2 },
    ]);
  });

  test("is told of a regroup, and nobody regroups for it", () => {
    const driver = following(["w1", "w2"], ["w3"]);
    driver.hello("w2", { incarnation: "w2.2" });
    expect(driver.round("w3")).toMatchObject({ generation: 3, followers: ["w3.1"] });
    driver.hello("w3", { incarnation: "w3.2" });
    expect(driver.kinds("w1")).toEqual([]);
  });

  test("says nothing that counts by a report from before it began", () => {
    const driver = following(["w1"], ["w2"]);
    driver.report("w2", [], { generation: 0 });
    driver.applied("w2", 1);
    driver.reportAll();
    expect(driver.said()).not.toContain("w2 joined at step 2");
  });

  test("that started over holds nothing by what it says of the state before", () => {
    const driver = following(["w1"], ["w2"]);
    driver.disconnect("w2");
    driver.hello("w2");
    driver.reportAll();
    expect(driver.sent("w2")).toMatchObject([{ kind: "load", step: 2 }, { kind: "round" }]);
    // Said before it had the order to load state 2: it had loaded state 1, and applied its sum.
    driver.loaded("w2", 1);
    driver.applied("w2", 2);
    expect(driver.run?.participants.get("w2")?.stage).toMatchObject({ step: 2, held: undefined });
    driver.reportAll();
    expect(driver.record().step).toBe(3);
    expect(stageOf(driver, "w2")).toBe("following");
  });

  test("that was a spare takes the place of a member that died", () => {
    const request = { batch: 4, shards: 2, steps: 20, checkpointEvery: 0 };
    const driver = FleetDriver.started(["w1", "w2"], request);
    driver.hello("w3");
    expect(reasonOf(driver, "w3")).toBe("job has 2 shards, one for each of as many workers");
    driver.disconnect("w2");
    driver.pass(1000, ["w1", "w3"]);
    expect(driver.kinds("w3")).toEqual(["prepare"]);
    driver.prepared("w3");
    expect(driver.sent("w3")).toMatchObject([{ kind: "load", step: 0 }, { kind: "round" }]);
    driver.loaded("w3", 0);
    driver.report("w3", []);
    driver.reportAll();
    expect(driver.said()).toContain("w3 joined at step 1");
    expect(driver.round("w3").members.map(({ workerId }) => workerId)).toEqual(["w1", "w3"]);
  });

  test("that takes the state during an evaluation is a member after it", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.happens({ kind: "submit", record: record("job", { steps: 9, evalEvery: 1 }, 4) });
    driver.prepared("w1");
    driver.loaded("w1");
    driver.hello("w2");
    driver.prepared("w2");
    driver.reportAll();
    expect(driver.round("w1")).toMatchObject({ round: "evaluation", step: 1 });
    expect(driver.kinds("w2")).toEqual(["commit"]);
    driver.applied("w2", 1);
    driver.report("w1", [0], { round: "evaluation", shards: [result(0, { count: 4 })] });
    expect(driver.said()).toContain("w2 joined at step 1");
    expect(driver.round("w2").members).toHaveLength(2);
  });
});

describe("several joiners at once", () => {
  test("take the state from as many donors as there are, in one snapshot each", () => {
    const driver = following(["w1", "w2"], []);
    const offers: string[] = [];
    const donors = ["w3", "w4", "w5", "w6"].map((id) => {
      driver.hello(id);
      driver.prepared(id);
      offers.push(...["w1", "w2"].filter((donor) => driver.kinds(donor).includes("offer")));
      const load = driver.sent(id).find((command) => command.kind === "load");
      return load?.source.kind === "peer" ? load.source.address : "";
    });
    expect(donors.toSorted()).toEqual(["w1.1", "w1.1", "w2.1", "w2.1"]);
    expect(offers.toSorted()).toEqual(["w1", "w2"]);
  });

  test("one more takes it from a donor that serves nobody yet, or waits for one", () => {
    const driver = following(["w1"], ["w2"]);
    driver.reportAll();
    driver.hello("w3");
    driver.prepared("w3");
    expect(driver.kinds("w1")).not.toContain("offer");
    driver.applied("w2", 2);
    expect(driver.kinds("w1")).toEqual(["offer", "round"]);
    expect(driver.kinds("w3")).toEqual(["load", "round"]);
  });
});

test("whoever followed takes the state anew, with everybody waiting, where the job is below its minimum", () => {
  const driver = following(["w1", "w2"], ["w3"], { minWorkers: 2 });
  driver.disconnect("w2");
  driver.pass(1000, ["w1", "w3"]);
  driver.report("w1", upTo(8));
  expect(driver.kinds("w3")).toEqual(["commit", "load"]);
  driver.applied("w1", 2);
  driver.loaded("w3", 2);
  expect(driver.round("w3")).toMatchObject({ step: 2, followers: [] });
});

test("a state is taken from one that stays rather than from one that leaves", () => {
  const driver = following(["w1", "w2"], []);
  driver.say("w1", { kind: "leaving", reason: "it was asked to stop" });
  driver.hello("w3");
  driver.prepared("w3");
  expect(driver.sent("w3")).toContainEqual(
    expect.objectContaining({ kind: "load", source: { kind: "peer", address: "w2.1" } }),
  );
});
