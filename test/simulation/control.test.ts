import { afterAll, describe, expect, test } from "vitest";
import { faultNames, type Fault } from "./control/faults.js";
import { simulate, simulationDefaults } from "./control/simulation.js";

const one = process.env["SEED"];
const count = 300;
const seeds = one === undefined ? Array.from({ length: count }, (_, i) => i) : [Number(one)];
/** A few things go wrong while the first job is under way, and nothing after. */
const early = { ...simulationDefaults, everyMs: 800, faultsEndMs: 4_000 };
const quiet = { ...simulationDefaults, faults: [] };

describe("the control plane under seeds", () => {
  const fired = new Map<Fault, number>();
  let held = 0;

  test.each(seeds)(
    "every job ends with the bits of one worker through any fault (SEED=%i)",
    (seed) => {
      const outcome = simulate(seed);
      // The story is long, and worth reading only where something is wrong.
      const story = outcome.mistakes.length === 0 ? "" : outcome.story.join("\n");
      expect(outcome.mistakes, story).toEqual([]);
      expect(outcome.rounds).toBeGreaterThanOrEqual(15);
      for (const [fault, times] of outcome.fired) fired.set(fault, (fired.get(fault) ?? 0) + times);
    },
  );

  test.each(seeds.slice(0, 30))(
    "without faults nobody is lost and nothing done twice (SEED=%i)",
    (seed) => {
      const outcome = simulate(seed, quiet);
      expect(outcome.mistakes).toEqual([]);
      expect(outcome.redone).toBe(0);
      const told = outcome.story.join("\n");
      expect(told).not.toMatch(/is lost|take over|attempt 2|set aside|closes/);
    },
  );

  test.each(seeds.slice(0, 30))("a worker that joins costs nobody anything (SEED=%i)", (seed) => {
    const outcome = simulate(seed, { ...simulationDefaults, faults: ["worker joined"] });
    expect(outcome.mistakes).toEqual([]);
    expect(outcome.story.join("\n")).not.toMatch(/is lost|take over|attempt 2|set aside/);
  });

  test.each(seeds.slice(0, 30))(
    "bad links alone never undo what was committed (SEED=%i)",
    (seed) => {
      const faults = ["stream cut", "frames lost", "NATS cut", "coordinator killed"] as const;
      const outcome = simulate(seed, { ...simulationDefaults, faults });
      expect(outcome.mistakes).toEqual([]);
      expect(outcome.story.join("\n")).not.toMatch(/no worker holds step [1-9]/);
    },
  );

  test.each(seeds.slice(0, 30))(
    "a worker that dies or falls silent holds nobody up for longer than its lease and a step (SEED=%i)",
    (seed) => {
      const faults = ["worker killed", "worker stopped", "worker not heard"] as const;
      const outcome = simulate(seed + 1, { ...early, faults });
      expect(outcome.mistakes).toEqual([]);
      // Where nobody is left who holds the state, it is worth waiting for.
      if (/is back with|goes back to/.test(outcome.story.join("\n"))) return;
      held += 1;
      // Lease, a tick, the round again with fewer hands, and a joiner on the way.
      expect(outcome.longestGapMs).toBeLessThan(5000 + 2000);
    },
  );

  test.each(seeds.slice(0, 30))(
    "a coordinator that stands still takes nobody for lost (SEED=%i)",
    (seed) => {
      const outcome = simulate(seed, { ...simulationDefaults, faults: ["coordinator stopped"] });
      expect(outcome.mistakes).toEqual([]);
      expect(outcome.story.join("\n")).not.toMatch(/is lost|closes/);
    },
  );

  afterAll(() => {
    if (one !== undefined) return;
    expect(held, "seeds in which somebody was left").toBeGreaterThan(5);
    const missing = faultNames.filter((fault) => (fired.get(fault) ?? 0) === 0);
    expect(missing, "faults that never fired").toEqual([]);
  });
});
