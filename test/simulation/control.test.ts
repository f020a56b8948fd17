import { afterAll, describe, expect, test } from "vitest";
import { simulate, simulationDefaults, type Outcome } from "./control/simulation.js";

const one = process.env["SEED"];
/** Many more, without what a test runner costs: manySeeds.test.ts. */
const count = 40;
const seeds = one === undefined ? Array.from({ length: count }, (_, i) => i) : [Number(one)];
/** Seeds of one test: a test of its own for each would take longer to report than to run. */
const portion = 20;
const portions = Array.from({ length: Math.ceil(seeds.length / portion) }, (_, i) =>
  seeds.slice(i * portion, (i + 1) * portion),
);
const few = seeds.slice(0, 10);
/** A few things go wrong while the first job is under way, and nothing after. */
const early = { ...simulationDefaults, everyMs: 800, faultsEndMs: 4_000 };
const quiet = { ...simulationDefaults, faults: [] };

describe("the control plane under seeds", () => {
  let held = 0;
  let rewound = 0;
  let joined = 0;
  let failedToJoin = 0;
  let removed = 0;

  test.each(portions)(
    "every job ends with the bits of one worker through any fault (SEED=%i and on)",
    async (...portion) => {
      for (const seed of portion) {
        const outcome = await simulate(seed);
        expectNoMistake(outcome);
        rewound += outcome.rewound;
        expect(outcome.rounds, `rounds of seed ${seed}`).toBeGreaterThanOrEqual(50);
        const faults = [...outcome.fired.values()].reduce((sum, times) => sum + times, 0);
        expect(faults, `faults of seed ${seed}`).toBeGreaterThanOrEqual(5);
      }
    },
    60_000,
  );

  test.each(few)("without faults nobody is lost and nothing done twice (SEED=%i)", async (seed) => {
    const outcome = await simulate(seed, quiet);
    expectNoMistake(outcome);
    expect(outcome.redone).toBe(0);
    const told = outcome.story.join("\n");
    expect(told).not.toMatch(/is lost|take over|attempt 2|set aside|closes/);
  });

  test.each(few)("a worker that joins costs nobody anything (SEED=%i)", async (seed) => {
    const outcome = await simulate(seed, { ...simulationDefaults, faults: ["worker joined"] });
    expectNoMistake(outcome);
    const story = outcome.story.join("\n");
    expect(story).not.toMatch(/is lost|take over|attempt 2|set aside|could not join/);
    joined += story.match(/ joined at step/g)?.length ?? 0;
    // About one step: whoever joined just before may be slower than its first shards were dealt for.
    expect(outcome.joinCostMs).toBeLessThan(150);
  });

  test.each(few)(
    "one that hangs while it joins holds nobody up for long (SEED=%i)",
    async (seed) => {
      const outcome = await simulate(seed, { ...early, faults: ["joiner hangs"] });
      expectNoMistake(outcome);
      const story = outcome.story.join("\n");
      expect(story).not.toMatch(/is lost|take over|attempt 2/);
      failedToJoin += story.match(/ could not join/g)?.length ?? 0;
      // A slow step, the shortest wait and a tick.
      expect(outcome.longestGapMs).toBeLessThan(400 + 250 + 250);
    },
  );

  test.each(few)("joiners and the donors that they lose end well (SEED=%i)", async (seed) => {
    const faults = ["worker joined", "joiner hangs", "worker killed", "child crashed"] as const;
    expectNoMistake(await simulate(seed, { ...simulationDefaults, everyMs: 500, faults }));
  });

  test.each(few)("bad links alone never undo what was committed (SEED=%i)", async (seed) => {
    const faults = [
      "stream cut",
      "frames lost",
      "frames repeated",
      "frames out of order",
      "stale frames",
      "NATS cut",
      "writes unanswered",
      "store down",
      "coordinator killed",
    ] as const;
    const outcome = await simulate(seed, { ...simulationDefaults, faults });
    expectNoMistake(outcome);
    expect(outcome.story.join("\n")).not.toMatch(/no worker holds step [1-9]/);
  });

  test.each(few)(
    "a worker that dies or falls silent holds nobody up for longer than its lease and a step (SEED=%i)",
    async (seed) => {
      const faults = ["worker killed", "worker stopped", "worker not heard"] as const;
      // Far enough apart: who falls silent after another was lost has a lease of its own.
      const outcome = await simulate(seed + 1, { ...early, everyMs: 3_000, faults });
      expectNoMistake(outcome);
      // Where nobody is left who holds the state, it is worth waiting for.
      if (/is back with|goes back to/.test(outcome.story.join("\n"))) return;
      held += 1;
      // Lease, a tick, the round again with fewer hands, and a joiner on the way.
      expect(outcome.longestGapMs).toBeLessThan(5000 + 2000);
    },
  );

  test.each(few)(
    "a coordinator that stands still takes nobody for lost (SEED=%i)",
    async (seed) => {
      const faults = ["coordinator stopped"] as const;
      const outcome = await simulate(seed, { ...simulationDefaults, faults });
      expectNoMistake(outcome);
      expect(outcome.story.join("\n")).not.toMatch(/is lost|closes/);
    },
  );

  test.each(few)("clocks on the wall that jump change nothing (SEED=%i)", async (seed) => {
    const faults = ["worker's clock jumps", "coordinator's clock jumps"] as const;
    const outcome = await simulate(seed, { ...simulationDefaults, faults });
    expectNoMistake(outcome);
    expect(outcome.story.join("\n")).not.toMatch(/is lost|take over|attempt 2|set aside|closes/);
  });

  test.each(few)("a cancelled job costs no other job anything (SEED=%i)", async (seed) => {
    const outcome = await simulate(seed, { ...simulationDefaults, faults: ["cancelled"] });
    expectNoMistake(outcome);
    const told = outcome.story.join("\n");
    for (const job of ["first", "second", "third", "fourth"]) {
      if (told.includes(`${job} is cancelled`)) continue;
      expect(told).not.toMatch(new RegExp(`${job}: (.* is lost|no worker holds)`));
    }
  });

  test.each(few)("a job that is removed costs no other job anything (SEED=%i)", async (seed) => {
    const faults = ["removed"] as const;
    const outcome = await simulate(seed, { ...simulationDefaults, everyMs: 500, faults });
    expectNoMistake(outcome);
    expect(outcome.redone).toBe(0);
    const told = outcome.story.join("\n");
    expect(told).not.toMatch(/is lost|take over|attempt 2|set aside|closes/);
    removed += told.match(/ is removed$/gm)?.length ?? 0;
  });

  test.each(few)(
    "workers that are asked to leave cost nobody a step, however many leave at once (SEED=%i)",
    async (seed) => {
      for (const everyMs of [1_000, 300]) {
        const faults = ["worker left", "worker joined"] as const;
        const outcome = await simulate(seed, { ...simulationDefaults, everyMs, faults });
        expectNoMistake(outcome);
        expect(outcome.redone).toBe(0);
        const story = outcome.story.join("\n");
        expect(story).not.toMatch(/take over|goes back|replays/);
        // One that has just come may end before anybody has heard of it, and its stream before its last word has come.
        if (everyMs >= 1_000) expect(story).not.toMatch(/is lost: (?!its stream ended)/);
      }
    },
  );

  afterAll(() => {
    if (one !== undefined) return;
    expect(joined, "workers that joined").toBeGreaterThan(10);
    expect(failedToJoin, "joins that came to nothing").toBeGreaterThan(5);
    expect(removed, "jobs that were removed").toBeGreaterThan(10);
    expect(rewound, "rewinds that were looked at").toBeGreaterThan(5);
    expect(held, "seeds in which somebody was left").toBeGreaterThan(1);
  });
});

/** The story is long, and worth reading only where something is wrong. */
function expectNoMistake({ seed, mistakes, story }: Outcome): void {
  const told = mistakes.length === 0 ? "" : `SEED=${seed}\n${story.join("\n")}`;
  expect(mistakes, told).toEqual([]);
}
