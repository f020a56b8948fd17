import { describe, expect, test } from "vitest";
import type { ShardResult } from "../../src/control/message.js";
import { auditedInEvaluation } from "../../src/plan/audit.js";
import { evaluationShards } from "../../src/plan/evaluation.js";
import { FleetDriver, record, result, upTo } from "./fleetDriver.js";

type Said = Partial<ShardResult>;

/** Workers before the evaluation of step 1, with so many pictures to evaluate. */
function evaluating(workers: readonly string[], pictures: number, audit = 1_000_000): FleetDriver {
  const driver = new FleetDriver();
  for (const workerId of workers) driver.hello(workerId);
  const request = { evalEvery: 1, audit };
  driver.happens({ kind: "submit", record: record("job", request, pictures) });
  for (const workerId of workers) driver.prepared(workerId);
  for (const workerId of workers) driver.loaded(workerId);
  driver.reportAll();
  expect(driver.round(workers[0] ?? "").round).toBe("evaluation");
  return driver;
}

/** What is right of a slice: half of its pictures. */
function slice(pictures: number, shard: number, how: Said = {}): ShardResult {
  const { first, end } = evaluationShards(pictures)[shard] ?? { first: 0, end: 0 };
  const count = end - first;
  return result(shard, { count, correct: Math.floor(count / 2), ...how });
}

/** A worker reports its slices, and what it is to check, as `how` says. */
function answer(
  driver: FleetDriver,
  workerId: string,
  how: (shard: number, check: number) => Said = () => ({}),
): void {
  const { phase } = driver.run ?? {};
  if (phase?.kind !== "round") throw new Error("no round is under way");
  const pictures = driver.record().plan.validationExamples;
  const own = (phase.dealt.get(workerId) ?? []).flatMap(({ first, end }) => upTo(end, first));
  const checks = phase.checks.get(workerId) ?? [];
  driver.report(workerId, [], {
    ...{ round: "evaluation", sumChecksum: 0 },
    shards: [
      ...own.map((shard) => slice(pictures, shard, how(shard, 0))),
      ...checks.map(({ shard, number }) =>
        slice(pictures, shard, { check: number, ...how(shard, number) }),
      ),
    ],
  });
}

/** Who has the one slice of an evaluation of ten pictures, and who has not. */
function roles(driver: FleetDriver): {
  readonly owner: string;
  readonly others: readonly string[];
} {
  const { phase } = driver.run ?? {};
  if (phase?.kind !== "round") throw new Error("no round is under way");
  const owner = [...phase.dealt].find(([, ranges]) => ranges.length > 0)?.[0] ?? "";
  return { owner, others: [...phase.dealt.keys()].filter((id) => id !== owner) };
}

describe("what nobody can have got", () => {
  const cases: readonly (readonly [string, Said, RegExp])[] = [
    ["4 of 9", { count: 9, correct: 4 }, /^ with 9 examples, and it has 10$/],
    ["11 of 10", { correct: 11 }, /^ with 11 right of 10$/],
    ["a loss that is no number", { loss: NaN }, /^ with a loss of NaN$/],
  ];
  test.each(cases)("of ten pictures, %s, sets its worker aside and never shows", (_, how, why) => {
    const driver = evaluating(["w1", "w2", "w3"], 10, 0);
    const { owner } = roles(driver);
    answer(driver, owner, () => how);
    const said = /^w\d is set aside: it reported shard 0 of step 1(.*)$/.exec(
      driver.said()[0] ?? "",
    );
    expect(said?.[1]).toMatch(why);
    expect(driver.kinds(owner)).toEqual(["release"]);
    expect(driver.record().evaluations).toEqual([]);
    answer(driver, roles(driver).owner);
    expect(driver.record().evaluations).toEqual([{ step: 1, correct: 5, total: 10, loss: 0.1 }]);
  });

  test.each<readonly [string, ShardResult, string]>([
    [
      "examples that are not there",
      result(3, { count: 3 }),
      "shard 3 of step 0 with 3 examples, and it has 2",
    ],
    [
      "right ones, which training does not count",
      result(3, { correct: 1 }),
      "shard 3 of step 0 with 1 right of 0",
    ],
  ])(
    "in a training step, %s, costs its worker its place and not the job its life",
    (_, bad, what) => {
      const driver = FleetDriver.started(["w1", "w2", "w3"]);
      driver.report("w2", [], { shards: [bad] });
      expect(driver.said()[0]).toBe(`w2 is set aside: it reported ${what}`);
      driver.reportAll();
      expect(driver.record()).toMatchObject({ state: "training", step: 1, attempt: 1 });
    },
  );

  test.each<Said>([{ count: 1000, correct: 990 }, { shard: 7 }])(
    "and what the whole job does not have is not even heard: %o",
    (how) => {
      const driver = evaluating(["w1", "w2", "w3"], 10, 0);
      const { owner } = roles(driver);
      answer(driver, owner, () => how);
      expect(driver.said()[0]).toMatch(/^w\d is not believed, and its stream is closed: /);
      answer(driver, roles(driver).owner);
      expect(driver.record().evaluations).toEqual([{ step: 1, correct: 5, total: 10, loss: 0.1 }]);
    },
  );

  test("on a lone worker is tried again with a new process", () => {
    const driver = evaluating(["w1"], 10, 0);
    answer(driver, "w1", () => ({ count: 9 }));
    expect(driver.kinds("w1")).toEqual(["release"]);
    driver.released("w1");
    expect(driver.record()).toMatchObject({ attempt: 2, evaluations: [] });
  });

  test("counts also where it is said second, after another's result was taken away", () => {
    const driver = evaluating(["w1", "w2", "w3"], 10, 0);
    const { owner, others } = roles(driver);
    const [other = ""] = others;
    const say = (workerId: string, ...said: readonly Said[]): void => {
      const shards = said.map((how) => slice(10, 0, how));
      driver.report(workerId, [], { round: "evaluation", sumChecksum: 0, shards });
    };
    say(owner, { finite: false, loss: NaN });
    say(other, {});
    say(other, { correct: 9 }, { check: 1 });
    expect(driver.record().evaluations).toEqual([{ step: 1, correct: 5, total: 10, loss: 0.1 }]);
  });

  test("and what is no number is computed by a second worker", () => {
    const driver = evaluating(["w1", "w2"], 200, 0);
    answer(driver, "w1", (shard) => (shard === 0 ? { finite: false, loss: NaN } : {}));
    expect(driver.round("w2").members[1]?.checks).toEqual([{ shard: 0, number: 1 }]);
    answer(driver, "w2");
    expect(driver.said()[0]).toMatch(/^w1 is set aside: shard 0 of step 1 came out wrong on it/);
    answer(driver, "w2");
    expect(driver.record().evaluations).toEqual([
      { step: 1, correct: 100, total: 200, loss: 0.02 },
    ]);
  });
});

describe("the slices of an evaluation", () => {
  test("are compared, one at least of each worker that has any", () => {
    const driver = evaluating(["w1", "w2", "w3"], 640);
    const { phase } = driver.run ?? {};
    if (phase?.kind !== "round") throw new Error("no round is under way");
    const checked = [...phase.checks.values()].flat().map(({ shard }) => shard);
    for (const [workerId, ranges] of phase.dealt) {
      const own = ranges.flatMap(({ first, end }) => upTo(end, first));
      expect(
        own.filter((shard) => checked.includes(shard)),
        workerId,
      ).toHaveLength(1);
      expect((phase.checks.get(workerId) ?? []).some(({ shard }) => own.includes(shard))).toBe(
        false,
      );
    }
    for (const workerId of ["w1", "w2", "w3"]) answer(driver, workerId);
    expect(driver.record().evaluations).toMatchObject([{ step: 1, correct: 320, total: 640 }]);
  });

  test("are all compared with an audit of every shard, and none without audits", () => {
    const checksOf = (driver: FleetDriver): number => {
      const { phase } = driver.run ?? {};
      return phase?.kind === "round" ? [...phase.checks.values()].flat().length : NaN;
    };
    expect(checksOf(evaluating(["w1", "w2"], 640, 1))).toBe(10);
    expect(checksOf(evaluating(["w1", "w2"], 640, 0))).toBe(0);
    expect(checksOf(evaluating(["w1"], 640))).toBe(1);
  });

  test("are drawn from the job, the step and who has which alone", () => {
    const draw = (seed: number, step: number): string =>
      [...auditedInEvaluation({ seed, audit: 64 }, step, [upTo(500), upTo(1000, 500)])].join();
    expect(draw(1, 2)).toBe(draw(1, 2));
    expect(new Set([draw(1, 2), draw(2, 2), draw(1, 3)]).size).toBe(3);
    expect(draw(1, 2).split(",").length).toBeGreaterThan(5);
    expect(draw(1, 2).split(",").length).toBeLessThan(35);
  });

  test("that two workers count differently are decided by a third before anything is kept", () => {
    const driver = evaluating(["w1", "w2", "w3"], 10);
    const { owner, others } = roles(driver);
    answer(driver, owner, () => ({ correct: 9 }));
    expect(driver.record().evaluations).toEqual([]);
    const checker = others.find((id) => checksOf(driver, id) > 0) ?? "";
    answer(driver, checker);
    expect(driver.said()).toEqual(["shard 0 of step 1 is in doubt and is computed again"]);
    const third = others.find((id) => id !== checker) ?? "";
    answer(driver, third);
    expect(driver.said()[0]).toBe(
      `${owner} is set aside: shard 0 of step 1 came out wrong on it: it counts other pictures right`,
    );
    answer(driver, roles(driver).owner);
    for (const id of [checker, third]) if (checksOf(driver, id) > 0) answer(driver, id);
    expect(driver.record().evaluations).toEqual([{ step: 1, correct: 5, total: 10, loss: 0.1 }]);
  });

  test("of a worker that is gone after it reported are compared all the same", () => {
    const driver = evaluating(["w1", "w2", "w3"], 10);
    const { owner, others } = roles(driver);
    answer(driver, owner, () => ({ correct: 9 }));
    driver.hello(owner, { incarnation: `${owner}.2` });
    for (let i = 0; i < 3; i += 1) {
      for (const id of others) if (checksOf(driver, id) > 0) answer(driver, id);
    }
    answer(driver, roles(driver).owner);
    for (const id of others) if (checksOf(driver, id) > 0) answer(driver, id);
    expect(driver.record().evaluations).toEqual([{ step: 1, correct: 5, total: 10, loss: 0.1 }]);
  });
});

function checksOf(driver: FleetDriver, workerId: string): number {
  const { phase } = driver.run ?? {};
  return phase?.kind === "round" ? (phase.checks.get(workerId) ?? []).length : 0;
}
