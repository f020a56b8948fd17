import { describe, expect, test } from "vitest";
import type { WorkerEvent } from "../../src/control/message.js";
import { FleetDriver, held, result, upTo } from "./fleetDriver.js";

/** Two workers in step 0: w1 has shards 0 to 3, w2 has 4 to 7. */
function inRound(): FleetDriver {
  return FleetDriver.started(["w1", "w2"]);
}

test("the shards of a step are dealt to all members, and all are told all", () => {
  const driver = inRound();
  const { members, ...round } = driver.round("w1");
  expect(round).toEqual({
    ...{ kind: "round", job: "job", attempt: 1, generation: 1, step: 0, round: "training" },
    ...{ shardCount: 8, followers: [], trial: 0 },
  });
  expect(members).toEqual([
    {
      workerId: "w1",
      address: "w1.1",
      ranges: [{ first: 0, end: 4 }],
      finished: false,
      checks: [],
    },
    {
      workerId: "w2",
      address: "w2.1",
      ranges: [{ first: 4, end: 8 }],
      finished: false,
      checks: [],
    },
  ]);
  expect(driver.round("w2")).toEqual(driver.round("w1"));
});

test("a step commits when every member has reported, and the next round goes right behind", () => {
  const driver = inRound();
  driver.report("w1", upTo(4));
  expect(driver.record().step).toBe(0);
  driver.report("w2", upTo(8, 4));
  expect(driver.record()).toMatchObject({ step: 1, loss: 0.5 });
  expect(driver.kinds("w1")).toEqual(["commit", "round"]);
  expect(driver.round("w2")).toMatchObject({ step: 1, generation: 1 });
});

test("a member without shards has to report the sum all the same", () => {
  const driver = FleetDriver.started(["w1", "w2"], { shards: 2, batch: 4 });
  driver.report("w1", [0], { computeMs: 1 });
  driver.report("w2", [1], { computeMs: 1000 });
  expect(driver.round("w1").members.map(({ ranges }) => ranges)).toEqual([
    [{ first: 0, end: 2 }],
    [],
  ]);
  driver.report("w1", [0, 1]);
  expect(driver.record().step).toBe(1);
  driver.report("w2", []);
  expect(driver.record().step).toBe(2);
});

test("losses are added in float32 in the order of the tree", () => {
  const driver = inRound();
  const losses = [1e8, 1, 1, 1, -1e8, 1, 1, 1];
  const shards = upTo(8).map((shard) => result(shard, { loss: losses[shard] ?? 0 }));
  driver.report("w1", [], { shards: shards.slice(0, 4) });
  driver.report("w2", [], { shards: shards.slice(4) });
  const [a, b, c, d, e, f, g, h] = losses.map(Math.fround);
  const add = (x = 0, y = 0): number => Math.fround(x + y);
  const sum = add(add(add(a, b), add(c, d)), add(add(e, f), add(g, h)));
  expect(sum).not.toBe(losses.reduce((x, y) => x + y));
  expect(driver.record().loss).toBe(sum / 16);
});

describe("a report changes nothing", () => {
  const stale: readonly (readonly [string, Partial<Extract<WorkerEvent, { kind: "report" }>>])[] = [
    ["of another attempt", { attempt: 2 }],
    ["of another step", { step: 1 }],
    ["of an evaluation", { round: "evaluation" }],
    ["of another job", { job: "other" }],
  ];
  test.each(stale)("%s", (_, how) => {
    const driver = inRound();
    driver.report("w1", upTo(4));
    const before = driver.run;
    driver.report("w2", upTo(8, 4), how);
    if (before?.phase.kind !== "round" || driver.run?.phase.kind !== "round") throw Error();
    expect(driver.run.phase.results).toEqual(before.phase.results);
    expect(driver.record()).toMatchObject({ step: 0, state: "training" });
  });

  test("of an unknown incarnation", () => {
    const driver = inRound();
    driver.report("w1", upTo(4));
    const { attempt } = driver.record();
    const shards = upTo(8, 4).map((shard) => result(shard));
    driver.say(
      "w2",
      {
        ...{ kind: "report", job: "job", attempt, generation: 1, step: 0, round: "training" },
        trial: 0,
        ...{ sumChecksum: 7, parameterChecksum: 100, computeMs: 1, exchangeMs: 1, shards },
      },
      "w2.9",
    );
    expect(driver.record().step).toBe(0);
  });

  test("twice", () => {
    const driver = inRound();
    driver.report("w1", upTo(4));
    driver.report("w1", upTo(4));
    expect(driver.record().step).toBe(0);
    driver.report("w2", upTo(8, 4));
    expect(driver.record().step).toBe(1);
    driver.report("w2", upTo(8, 4), { step: 0 });
    expect(driver.record().step).toBe(1);
  });
});

test("when a member is lost the others keep their shards and take over its own at once", () => {
  const driver = FleetDriver.started(["w1", "w2", "w3"]);
  driver.hello("w3", { incarnation: "w3.2" });
  expect(driver.round("w1")).toMatchObject({ generation: 2, step: 0 });
  const shares = driver.round("w1").members.map(({ workerId, ranges }) => [workerId, ranges]);
  expect(shares).toEqual([
    [
      "w1",
      [
        { first: 0, end: 3 },
        { first: 6, end: 7 },
      ],
    ],
    [
      "w2",
      [
        { first: 3, end: 6 },
        { first: 7, end: 8 },
      ],
    ],
  ]);
});

test("a report of an older generation counts for the shards that it names", () => {
  const driver = FleetDriver.started(["w1", "w2", "w3"]);
  driver.hello("w3", { incarnation: "w3.2" });
  driver.report("w1", [0, 1, 2], { generation: 1 });
  driver.report("w2", [3, 4, 5, 7]);
  expect(driver.record().step).toBe(0);
  driver.report("w1", [0, 1, 2, 6]);
  expect(driver.record()).toMatchObject({ step: 1, generation: 2 });
});

test("who has reported need not report again when the dead left all their results", () => {
  const driver = FleetDriver.started(["w1", "w2", "w3"]);
  driver.report("w1", [0, 1, 2]);
  driver.report("w3", [6, 7]);
  driver.hello("w3", { incarnation: "w3.2" });
  const { members } = driver.round("w2");
  expect(members.map(({ finished }) => finished)).toEqual([true, false]);
  expect(members.flatMap(({ ranges }) => ranges)).toEqual([
    { first: 0, end: 3 },
    { first: 3, end: 6 },
  ]);
  driver.report("w2", [3, 4, 5]);
  expect(driver.record().step).toBe(1);
});

test("who has reported computes what the dead took with them, if only for its losses", () => {
  const driver = FleetDriver.started(["w1", "w2", "w3"]);
  driver.report("w1", [0, 1, 2]);
  driver.report("w2", [3, 4, 5]);
  driver.hello("w3", { incarnation: "w3.2" });
  expect(driver.record().step).toBe(0);
  driver.report("w1", [0, 1, 2, 6]);
  driver.report("w2", [3, 4, 5, 7]);
  expect(driver.record().step).toBe(1);
});

test("when the holder of the sum dies too, what it had is dealt after all", () => {
  const driver = FleetDriver.started(["w1", "w2", "w3"]);
  driver.report("w1", [0, 1, 2]);
  driver.report("w3", [6, 7]);
  driver.hello("w3", { incarnation: "w3.2" });
  driver.hello("w1", { incarnation: "w1.2" });
  const [only, ...others] = driver.round("w2").members;
  expect(others).toEqual([]);
  expect(only?.ranges).toEqual([
    { first: 3, end: 6 },
    { first: 0, end: 3 },
    { first: 6, end: 8 },
  ]);
});

test("the last report decides, whoever is lost at that moment", () => {
  const driver = inRound();
  driver.report("w1", upTo(4));
  driver.disconnect("w1");
  driver.report("w2", upTo(8, 4));
  expect(driver.record().step).toBe(1);
});

test("the sum that is kept of a step is that of a member, not of one who is lost", () => {
  const driver = FleetDriver.started(["w1", "w2", "w3"]);
  driver.report("w1", upTo(3), { sumChecksum: 8 });
  driver.report("w2", upTo(6, 3));
  driver.hello("w1", { incarnation: "w1.2" });
  driver.report("w3", [6, 7]);
  expect(driver.record()).toMatchObject({ step: 1, trail: [{ step: 0, sumChecksum: 7 }] });
});

test("a result that is the same again is no dispute", () => {
  const driver = FleetDriver.started(["w1", "w2", "w3"]);
  driver.report("w3", [6, 7]);
  driver.hello("w3", { incarnation: "w3.2" });
  driver.report("w1", [0, 1, 2, 6]);
  driver.report("w2", [3, 4, 5, 7]);
  expect(driver.record()).toMatchObject({ state: "training", step: 1 });
});

test("a faster worker is dealt more, once that is clear", () => {
  const driver = inRound();
  driver.report("w1", upTo(4), { computeMs: 10 });
  driver.report("w2", upTo(8, 4), { computeMs: 30 });
  expect(driver.round("w1").members.map(({ ranges }) => ranges)).toEqual([
    [{ first: 0, end: 6 }],
    [{ first: 6, end: 8 }],
  ]);
});

test("a little difference in speed moves no shard", () => {
  const driver = inRound();
  driver.report("w1", upTo(4), { computeMs: 10 });
  driver.report("w2", upTo(8, 4), { computeMs: 11 });
  expect(driver.round("w1").members[0]?.ranges).toEqual([{ first: 0, end: 4 }]);
});

test("figures of workers that are gone do not count after the next commit", () => {
  const driver = FleetDriver.started(["w1", "w2"], { steps: 9 });
  driver.report("w1", upTo(4));
  driver.report("w2", upTo(8, 4), { computeMs: 1000 });
  expect(driver.run?.pace.shardMs).toBe(250);
  driver.disconnect("w2");
  driver.pass(1000, ["w1"]);
  driver.reportAll();
  expect([...(driver.run?.pace.speeds.keys() ?? [])]).toEqual(["w1"]);
  expect([...(driver.run?.pace.shares.keys() ?? [])]).toEqual(["w1"]);
  expect(driver.run?.pace.shardMs).toBeLessThan(10);
});

test("the first step is in the record at once, as the micro-batch stands from then on", () => {
  const driver = FleetDriver.started(["w1"], { steps: 9 });
  driver.reportAll();
  expect(driver.records.get("job")).toMatchObject({ step: 1, trail: [{ step: 0 }] });
  driver.reportAll();
  expect(driver.records.get("job")?.step).toBe(1);
  const kept = driver.records.get("job");
  const next = new FleetDriver(kept === undefined ? [] : [kept], 2);
  next.hello("w1", { held: held(1) });
  const failed = { kind: "failed", job: "job", attempt: 1, cause: "memory" } as const;
  next.say("w1", { ...failed, message: "OOM" });
  expect(next.record().plan.settings.microBatch).toBe(2);
});
