import { describe, expect, test } from "vitest";
import type { Range } from "../../src/plan/tree.js";
import { MemberDriver, order } from "./memberDriver.js";

const three: readonly Range[] = [{ first: 0, end: 3 }];

describe("a member's round", () => {
  test("puts its shards on the child's list, then begins the exchange", () => {
    const driver = MemberDriver.holding();
    driver.round(three);
    expect(driver.toChild()).toMatchObject([
      { kind: "compute", attempt: 1, step: 0, round: "training", shards: [0, 1, 2], first: true },
      { kind: "deal", attempt: 1, generation: 1, step: 0, shardCount: 8 },
    ]);
  });

  test("is reported when all its shards are computed and the sum is here, and not before", () => {
    const driver = MemberDriver.holding();
    driver.round(three);
    driver.shard(0);
    driver.shard(1);
    driver.summed();
    expect(driver.said()).toEqual([]);
    driver.shard(2);
    expect(driver.said()).toMatchObject([
      {
        ...{ kind: "report", job: "job", attempt: 1, generation: 1, step: 0, round: "training" },
        ...{ sumChecksum: 7, parameterChecksum: 100, computeMs: 30, exchangeMs: 20 },
        shards: [{ shard: 0 }, { shard: 1 }, { shard: 2 }],
      },
    ]);
    driver.shard(2);
    expect(driver.said()).toEqual([]);
  });

  test("without shards is reported when the sum is here", () => {
    const driver = MemberDriver.holding();
    driver.round([]);
    expect(driver.said()).toEqual([]);
    driver.summed();
    expect(driver.said()).toMatchObject([{ kind: "report", shards: [] }]);
  });

  test("of evaluation needs no sum and no exchange", () => {
    const driver = MemberDriver.holding();
    driver.round([{ first: 0, end: 1 }], 0, 1, "evaluation");
    expect(driver.toChild().map(({ kind }) => kind)).toEqual(["compute"]);
    driver.shard(0, 0, "evaluation");
    expect(driver.said()).toMatchObject([{ kind: "report", round: "evaluation", sumChecksum: 0 }]);
  });

  test("of a later generation appends what is new and keeps what is computed", () => {
    const driver = MemberDriver.holding();
    driver.round(three);
    for (const shard of [0, 1, 2]) driver.shard(shard);
    driver.summed();
    driver.round([...three, { first: 6, end: 7 }], 0, 2);
    expect(driver.toChild()).toMatchObject([
      { kind: "compute", shards: [6], first: false },
      { kind: "deal", generation: 2 },
    ]);
    driver.shard(6);
    expect(driver.said()).toMatchObject([{ kind: "report", generation: 2 }]);
  });

  test("of a later generation with nothing new is reported again", () => {
    const driver = MemberDriver.holding();
    driver.round(three);
    for (const shard of [0, 1, 2]) driver.shard(shard);
    driver.summed();
    driver.round(three, 0, 2);
    expect(driver.kinds()).toEqual(["deal", "report"]);
  });

  test("told again after a cut costs the child nothing and is answered again", () => {
    const driver = MemberDriver.holding();
    driver.round(three);
    for (const shard of [0, 1, 2]) driver.shard(shard);
    driver.summed();
    driver.round(three);
    expect(driver.kinds()).toEqual(["report"]);
  });

  test.each([
    ["an older generation", 0, 1],
    ["another step", 1, 3],
  ])("of %s is not taken part in", (_, step, generation) => {
    const driver = MemberDriver.holding();
    driver.round(three, 0, 2);
    driver.round([{ first: 3, end: 8 }], step, generation);
    expect(driver.actions).toEqual([]);
  });

  test("goes to the child right behind the commit before it, and waits for that to be applied", () => {
    const driver = MemberDriver.holding();
    driver.round([{ first: 0, end: 1 }]);
    driver.shard(0);
    driver.summed();
    driver.commit(0, true);
    expect(driver.toChild()).toEqual([{ kind: "apply", step: 0, save: true, sumChecksum: 7 }]);
    driver.round([], 1, 1, "evaluation");
    expect(driver.said()).toEqual([]);
    driver.child({ kind: "applied", step: 1, parameterChecksum: 101 });
    expect(driver.said()).toMatchObject([
      { kind: "applied", job: "job", attempt: 1, step: 1, parameterChecksum: 101 },
      { kind: "report", step: 1, parameterChecksum: 101 },
    ]);
  });

  test("takes nothing from shards and sums of another step, attempt or kind", () => {
    const driver = MemberDriver.holding();
    driver.round([{ first: 0, end: 1 }]);
    driver.shard(0, 1);
    driver.shard(0, 0, "evaluation");
    driver.summed(1);
    driver.child({ kind: "summed", attempt: 2, step: 0, trial: 0, sumChecksum: 9, exchangeMs: 1 });
    driver.summed();
    expect(driver.said()).toEqual([]);
    driver.shard(0);
    expect(driver.said()).toMatchObject([{ kind: "report", sumChecksum: 7 }]);
  });
});

describe("a commit", () => {
  test("that comes twice is applied once", () => {
    const driver = MemberDriver.holding();
    driver.round([]);
    driver.summed();
    driver.commit(0);
    driver.commit(0);
    expect(driver.actions).toEqual([]);
  });

  test.each([0, 1])("of step %i without its sum fails the child instead of applying", (step) => {
    const driver = MemberDriver.holding();
    driver.round(three);
    driver.commit(step);
    expect(driver.kinds()).toEqual(["close", "failed"]);
    expect(driver.said()).toMatchObject([
      { cause: "error", message: `it was told to apply step ${step} without having its sum` },
    ]);
  });
});

describe("a follower", () => {
  /** It takes state 0 from a peer, and follows the round of step 0 meanwhile. */
  function follower(): MemberDriver {
    const driver = new MemberDriver();
    driver.welcomed();
    driver.told({ kind: "prepare", order });
    driver.child({ kind: "prepared", probe: "probe" });
    driver.load(0, { kind: "peer", address: "w2.1" });
    driver.follow(0);
    return driver;
  }

  test("has its child collect the sum, with no shards of its own", () => {
    expect(follower().toChild()).toMatchObject([
      { kind: "compute", shards: [], first: true },
      { kind: "deal", step: 0, followers: ["w1.1"] },
    ]);
  });

  test("reports when it holds both the state and the sum", () => {
    const driver = follower();
    driver.summed();
    expect(driver.said()).toEqual([]);
    driver.child({ kind: "loaded", step: 0, parameterChecksum: 100 });
    expect(driver.said()).toMatchObject([
      { kind: "loaded", step: 0 },
      { kind: "report", step: 0, sumChecksum: 7, parameterChecksum: 100, shards: [] },
    ]);
  });

  test("is told commits before it has state or sum, and says when it is level", () => {
    const driver = follower();
    driver.commit(0);
    expect(driver.toChild()).toEqual([{ kind: "apply", step: 0, save: false, sumChecksum: 7 }]);
    driver.follow(1);
    driver.child({ kind: "loaded", step: 0, parameterChecksum: 100 });
    expect(driver.said()).toEqual([]);
    driver.child({ kind: "applied", step: 1, parameterChecksum: 101 });
    expect(driver.said()).toMatchObject([{ kind: "applied", step: 1 }]);
    driver.summed(1);
    expect(driver.said()).toMatchObject([{ kind: "report", step: 1, sumChecksum: 7 }]);
  });

  test("that waits for the sum of a commit does not say to hold the state before it", () => {
    const driver = follower();
    driver.child({ kind: "loaded", step: 0, parameterChecksum: 100 });
    driver.commit(0);
    driver.happens({ kind: "connected" });
    expect(driver.actions).toMatchObject([{ kind: "to-coordinator", event: { held: undefined } }]);
  });

  test("that moved on takes the same state anew when told to", () => {
    const driver = follower();
    driver.commit(0);
    driver.load(0, { kind: "peer", address: "w2.1" });
    expect(driver.kinds()).toEqual(["load"]);
  });
});

describe("what is told of another job or attempt", () => {
  test.each([
    ["job", { job: "other", attempt: 1 }],
    ["attempt", { job: "job", attempt: 2 }],
  ])("(%s) is not done", (_, place) => {
    const driver = MemberDriver.holding();
    driver.round([]);
    driver.summed();
    const commands = [
      { kind: "load", ...place, step: 0, source: { kind: "initial" } },
      { kind: "offer", ...place, step: 0 },
      { kind: "save", ...place, what: "checkpoint" },
      { kind: "commit", ...place, step: 0, save: false, facts: undefined },
    ] as const;
    for (const command of commands) {
      driver.told(command);
      expect(driver.actions, command.kind).toEqual([]);
    }
  });
});
