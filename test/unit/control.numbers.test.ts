import { describe, expect, test } from "vitest";
import type { ShardResult } from "../../src/control/message.js";
import { isAudited } from "../../src/plan/audit.js";
import { FleetDriver, held, result, upTo } from "./fleetDriver.js";

/** Three workers in step 0: w1 has shards 0 to 2, w2 has 3 to 5, w3 has 6 and 7. */
function three(): FleetDriver {
  return FleetDriver.started(["w1", "w2", "w3"]);
}

const nan = { finite: false, loss: NaN } as const;

/** Who is to check which shard. */
function checks(driver: FleetDriver, told: string): readonly string[] {
  return driver
    .round(told)
    .members.flatMap(({ workerId, checks: all }) =>
      all.map(({ shard, number }) => `${workerId}:${shard}/${number}`),
    );
}

function check(shard: number, how: Partial<ShardResult> = {}, number = 1): ShardResult {
  return result(shard, { check: number, ...how });
}

function results(shards: readonly number[], how: Partial<ShardResult> = {}) {
  return shards.map((shard) => result(shard, shard === 6 ? how : {}));
}

describe("a shard that is not finite", () => {
  function reported(): FleetDriver {
    const driver = three();
    driver.report("w1", upTo(3));
    driver.report("w2", upTo(6, 3));
    driver.report("w3", [], { shards: results([6, 7], nan) });
    return driver;
  }

  test("is computed by a second worker before anything is decided", () => {
    const driver = reported();
    expect(driver.record()).toMatchObject({ state: "training", step: 0, generation: 2 });
    expect(checks(driver, "w1")).toEqual(["w1:6/1"]);
    expect(driver.said()).toEqual(["shard 6 of step 0 is in doubt and is computed again"]);
  });

  test("and is not finite there either ends the job and names workers, shard and step", () => {
    const driver = reported();
    driver.report("w1", [], { shards: [...results([0, 1, 2]), check(6, nan)] });
    expect(driver.record()).toMatchObject({
      state: "failed",
      reason: "shard 6 of step 0 is not finite on w3, and on w1 as well: the rate may be too high",
    });
  });

  test("and is finite there sets the first worker aside; what it made is made again, and added anew", () => {
    const driver = reported();
    driver.report("w1", [], { shards: [...results([0, 1, 2]), check(6)] });
    expect(driver.said()).toEqual([
      "w3 is set aside: shard 6 of step 0 came out wrong on it: it is not finite",
    ]);
    expect(driver.kinds("w3")).toEqual(["release"]);
    const round = driver.round("w1");
    expect(round).toMatchObject({ step: 0, generation: 3, trial: 3 });
    expect(round.members.flatMap(({ ranges }) => ranges)).toContainEqual({ first: 6, end: 7 });
    expect(round.members.every(({ finished }) => !finished)).toBe(true);
    driver.report("w1", [0, 1, 2, 6]);
    expect(driver.record().step).toBe(0);
    driver.report("w2", [3, 4, 5, 7]);
    expect(driver.record()).toMatchObject({ step: 1, attempt: 1 });
  });

  test("leaves the sum of the trial before out of account", () => {
    const driver = reported();
    driver.report("w1", [], { shards: [...results([0, 1, 2]), check(6)] });
    driver.report("w1", [0, 1, 2, 6], { trial: 0 });
    driver.report("w2", [3, 4, 5, 7], { trial: 0 });
    expect(driver.record().step).toBe(0);
  });

  test("on the only worker is computed twice by it, and ends the job", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.report("w1", [], { shards: results(upTo(8), nan) });
    expect(checks(driver, "w1")).toEqual(["w1:6/1"]);
    driver.report("w1", [], { shards: [...results(upTo(8), nan), check(6, nan)] });
    expect(driver.record().reason).toMatch(/shard 6 of step 0 is not finite on w1, each of two/);
  });

  test("on the only worker, and finite the second time, has it start over from the checkpoint", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.report("w1", [], { shards: results(upTo(8), nan) });
    driver.report("w1", [], { shards: [...results(upTo(8), nan), check(6)] });
    expect(driver.kinds("w1")).toEqual(["release"]);
    driver.released("w1");
    expect(driver.record()).toMatchObject({ attempt: 2, step: 0, state: "starting" });
  });
});

test("a worker that is judged wrong while it is lost is not taken back with its state", () => {
  const driver = three();
  driver.report("w1", upTo(3));
  driver.report("w2", upTo(6, 3));
  driver.report("w3", [], { shards: results([6, 7], nan) });
  driver.disconnect("w3");
  driver.pass(1_000, ["w1", "w2"]);
  const asked =
    checks(driver, "w1")
      .find((one) => one.includes(":6/"))
      ?.split(":")[0] ?? "";
  const own = asked === "w1" ? [0, 1, 2] : [3, 4, 5];
  driver.report(asked, [], { shards: [...results(own), check(6)] });
  expect(driver.said()[0]).toMatch(/^w3 is set aside/);
  for (const workerId of ["w1", "w2"]) driver.disconnect(workerId);
  driver.pass(1_000);
  expect(driver.record()).toMatchObject({ state: "waiting", attempt: 1, step: 0 });
  const trial = driver.record().generation;
  driver.hello("w3", { held: held(0, { trial }) });
  expect(driver.kinds("w3")).toEqual(["welcome", "release"]);
  driver.hello("w1", { held: held(0, { trial }) });
  expect(driver.kinds("w1")).toEqual(["welcome"]);
});

describe("a shard that comes out differently", () => {
  /** Everybody reports its own shards and its checks; what is odd is the check of shard 0. */
  function disputed(how: Partial<ShardResult>): FleetDriver {
    const driver = FleetDriver.started(["w1", "w2", "w3"], { audit: 1 });
    const own = { w1: [0, 1, 2], w2: [3, 4, 5], w3: [6, 7] };
    const asked = new Map(driver.round("w1").members.map((one) => [one.workerId, one.checks]));
    for (const [workerId, shards] of Object.entries(own)) {
      const checked = (asked.get(workerId) ?? []).map(({ shard, number }) =>
        check(shard, shard === 0 ? how : {}, number),
      );
      driver.report(workerId, [], { shards: [...results(shards), ...checked] });
    }
    return driver;
  }

  test("nowhere commits the step", () => {
    expect(disputed({}).record().step).toBe(1);
  });

  test.each<readonly [string, Partial<ShardResult>, RegExp]>([
    ["another loss", { loss: 2 }, /its loss is 2, not 1/],
    ["other pictures", { inputChecksum: 9 }, /it read other pictures/],
  ])("by %s is decided by a third worker", (_, how, why) => {
    const driver = disputed(how);
    expect(driver.record().step).toBe(0);
    const asked = checks(driver, "w1").filter((one) => one.includes(":0/"));
    const third = asked.find((one) => one.endsWith("/2"))?.split(":")[0] ?? "";
    const odd = asked.find((one) => one.endsWith("/1"))?.split(":")[0] ?? "";
    const mine = driver.round(third).members.find(({ workerId }) => workerId === third);
    const shards = (mine?.checks ?? []).map(({ shard, number }) => check(shard, {}, number));
    driver.report(third, [], { shards });
    expect(driver.said()[0]).toMatch(
      new RegExp(`^${odd} is set aside: shard 0 of step 0 came out wrong on it: `),
    );
    expect(driver.said()[0]).toMatch(why);
    expect(driver.round("w1").trial).toBeGreaterThan(0);
  });

  test("and goes on differing on two workers ends the job and names both", () => {
    const driver = FleetDriver.started(["w1", "w2"], { audit: 1 });
    const [own, other] = [{ gradientChecksum: 5 }, { gradientChecksum: 6 }];
    const by = (how: Partial<ShardResult>, shard: number): Partial<ShardResult> =>
      shard === 0 ? how : {};
    const ofOne = [
      ...upTo(4).map((shard) => result(shard, by(own, shard))),
      ...upTo(8, 4).map((shard) => check(shard)),
    ];
    const ofTwo = [
      ...results(upTo(8, 4)),
      ...upTo(4).map((shard) => check(shard, by(other, shard))),
    ];
    driver.report("w1", [], { shards: ofOne });
    driver.report("w2", [], { shards: ofTwo });
    expect(checks(driver, "w1").filter((one) => one.includes(":0/"))).toEqual([
      "w1:0/2",
      "w2:0/1",
      "w2:0/3",
    ]);
    driver.report("w1", [], { shards: [...ofOne, check(0, own, 2)] });
    expect(driver.record().state).toBe("training");
    driver.report("w2", [], { shards: [...ofTwo, check(0, other, 3)] });
    expect(driver.record().state).toBe("failed");
    expect(driver.record().reason).toMatch(/shard 0 of step 0 comes out differently on w1 and w2/);
  });

  test("twice on one of two workers sets that one aside", () => {
    const driver = FleetDriver.started(["w1", "w2"], { audit: 1 });
    const own = { gradientChecksum: 5 };
    const right = { gradientChecksum: 6 };
    const first = result(0, own);
    const rest = [...upTo(4, 1).map((s) => result(s)), ...upTo(8, 4).map((s) => check(s))];
    const ofTwo = [...results(upTo(8, 4)), ...upTo(4).map((s) => check(s, s === 0 ? right : {}))];
    driver.report("w1", [], { shards: [first, ...rest] });
    driver.report("w2", [], { shards: ofTwo });
    driver.report("w1", [], { shards: [first, ...rest, check(0, right, 2)] });
    expect(driver.said()[0]).toMatch(/^w1 is set aside: shard 0 .* computed it twice, and diff/);
    expect([...(driver.fleet.runs.get("job")?.participants.keys() ?? [])]).toEqual(["w2"]);
  });
});

describe("the sample of shards that are computed twice", () => {
  test("depends on seed, step and shard alone, and is about one in so many", () => {
    const all = upTo(64).flatMap((step) => upTo(64).map((shard) => [step, shard] as const));
    const count = (seed: number): number =>
      all.filter(([step, shard]) => isAudited({ seed, audit: 16 }, step, shard)).length;
    expect(count(1)).toBeGreaterThan(200);
    expect(count(1)).toBeLessThan(312);
    const drawn = (seed: number): string =>
      all.filter(([step, shard]) => isAudited({ seed, audit: 16 }, step, shard)).join(" ");
    expect(drawn(1)).not.toBe(drawn(2));
    expect(all.some(([step, shard]) => isAudited({ seed: 1, audit: 0 }, step, shard))).toBe(false);
    expect(all.every(([step, shard]) => isAudited({ seed: 1, audit: 1 }, step, shard))).toBe(true);
  });

  test("is checked by others than those who were dealt it, evenly, before the commit", () => {
    const driver = FleetDriver.started(["w1", "w2", "w3"], { audit: 1 });
    const { members } = driver.round("w1");
    for (const { ranges, checks: all } of members) {
      const own = ranges.flatMap(({ first, end }) => upTo(end, first));
      expect(all.filter(({ shard }) => own.includes(shard))).toEqual([]);
      expect(all.length + own.length).toBeGreaterThanOrEqual(5);
    }
    expect(members.flatMap(({ checks: all }) => all.map(({ shard }) => shard)).toSorted()).toEqual(
      upTo(8),
    );
    driver.report("w1", upTo(3));
    driver.report("w2", upTo(6, 3));
    driver.report("w3", [6, 7]);
    expect(driver.record().step).toBe(0);
  });

  test("is checked by its own worker where that is alone", () => {
    const driver = FleetDriver.started(["w1"], { audit: 1 });
    expect(checks(driver, "w1")).toHaveLength(8);
  });

  test("is checked by another when the checker is lost", () => {
    const driver = FleetDriver.started(["w1", "w2", "w3"], { audit: 1 });
    driver.hello("w2", { incarnation: "w2.2" });
    const { members } = driver.round("w1");
    const asked = new Set(members.flatMap(({ checks: all }) => all.map(({ shard }) => shard)));
    expect([...asked].toSorted()).toEqual(upTo(8));
  });
});

describe("parameters that differ", () => {
  function stepped(workers: readonly string[]): FleetDriver {
    const driver = FleetDriver.started(workers, { steps: 5 });
    for (const { workerId, ranges } of driver.round("w1").members) {
      driver.report(
        workerId,
        ranges.flatMap(({ first, end }) => upTo(end, first)),
      );
    }
    return driver;
  }

  test("are found before the commit; whoever is alone with them takes a copy of the others'", () => {
    const driver = stepped(["w1", "w2", "w3"]);
    driver.applied("w1", 1);
    driver.applied("w2", 1, 5);
    expect(driver.record()).toMatchObject({ state: "training", step: 1 });
    const { generation } = driver.record();
    driver.applied("w3", 1);
    expect(driver.said()).toEqual([
      "w2 takes a copy of the others' state: its parameters of step 1 have checksum 5, and 101 on the others",
    ]);
    expect(driver.kinds("w2")).toContain("load");
    const { members, trial } = driver.round("w1");
    expect(trial).toBe(2);
    expect(members.map(({ workerId }) => workerId)).toEqual(["w1", "w3"]);
    driver.report("w2", [3, 4, 5], { parameterChecksum: 5, generation });
    for (const { workerId, ranges } of members) {
      driver.report(
        workerId,
        ranges.flatMap(({ first, end }) => upTo(end, first)),
      );
    }
    expect(driver.record().step).toBe(2);
    expect(driver.kinds("w2")).toContain("commit");
  });

  test("of a worker that says two things are its own, also where there are only two", () => {
    const driver = stepped(["w1", "w2"]);
    driver.applied("w1", 1);
    driver.applied("w2", 1);
    driver.report("w2", upTo(8, 4), { parameterChecksum: 5 });
    expect(driver.said()).toEqual([
      "w2 takes a copy of the others' state: its parameters of step 1 changed in memory: their checksum was 101 and is 5",
    ]);
  });

  test("a second time set the worker aside", () => {
    const driver = stepped(["w1", "w2"]);
    driver.applied("w1", 1);
    driver.applied("w2", 1);
    driver.report("w2", upTo(8, 4), { parameterChecksum: 5 });
    driver.report("w1", upTo(8));
    driver.applied("w1", 2);
    driver.loaded("w2", 2);
    driver.report("w2", []);
    driver.report("w1", upTo(8));
    driver.applied("w2", 3);
    driver.report("w2", upTo(8, 4), { parameterChecksum: 9 });
    expect(driver.said()[0]).toMatch(/^w2 is set aside: its parameters of step 3 changed/);
  });

  test("on two workers that each say one thing take the job back to its checkpoint", () => {
    const driver = stepped(["w1", "w2"]);
    driver.applied("w1", 1);
    driver.applied("w2", 1, 5);
    expect(driver.record()).toMatchObject({ attempt: 2, step: 0 });
    expect(driver.said()[0]).toBe(
      "the parameters of step 1 have checksum 101 on w1 and 5 on w2: goes back to step 0",
    );
  });

  test("on the only worker, by its own words, have it start over", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.report("w1", upTo(8), { parameterChecksum: 5 });
    expect(driver.record()).toMatchObject({ attempt: 2, step: 0 });
  });
});

describe("sums that differ", () => {
  function summed(driver: FleetDriver, sums: readonly number[]): void {
    driver.round("w1").members.forEach(({ workerId, ranges }, i) => {
      const shards = ranges.flatMap(({ first, end }) => upTo(end, first));
      driver.report(workerId, shards, { sumChecksum: sums[i] ?? 0 });
    });
  }

  test("are added up again, and count where they agree then", () => {
    const driver = three();
    summed(driver, [7, 8, 7]);
    expect(driver.record()).toMatchObject({ state: "training", step: 0 });
    expect(driver.said()[0]).toMatch(/the sum of step 0 has checksum 7 on w1, 8 on w2, 7 on w3/);
    expect(driver.round("w1").trial).toBe(2);
    summed(driver, [7, 7, 7]);
    expect(driver.record().step).toBe(1);
  });

  test("again set the one aside that is alone with its own", () => {
    const driver = three();
    summed(driver, [7, 8, 7]);
    summed(driver, [7, 9, 7]);
    expect(driver.said()[0]).toMatch(/^w2 is set aside: its sum of step 0 came out different/);
    summed(driver, [7, 7]);
    expect(driver.record().step).toBe(1);
  });

  test("again on two workers end the job and name both", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    summed(driver, [7, 8]);
    summed(driver, [7, 8]);
    expect(driver.record().reason).toMatch(/sum of step 0 has checksum 7 on w1, 8 on w2, again/);
  });
});

test("a worker that computed wrongly is shown as a spare, with the reason", () => {
  const driver = three();
  driver.report("w1", upTo(3));
  driver.report("w2", upTo(6, 3));
  driver.report("w3", [], { shards: results([6, 7], nan) });
  driver.report("w1", [], { shards: [...results([0, 1, 2]), check(6)] });
  driver.released("w3");
  expect(driver.kinds("w3")).toEqual(["spare"]);
});
