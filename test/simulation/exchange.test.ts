import { afterAll, describe, expect, test } from "vitest";
import { nodes } from "../../src/plan/tree.js";
import { ExchangeWorld, noFaults, unitElements, type WorldOptions } from "./exchangeWorld.js";

const one = process.env["SEED"];
const seeds = one === undefined ? Array.from({ length: 100 }, (_, seed) => seed) : [Number(one)];

function optionsOf(seed: number): WorldOptions {
  return {
    ranks: 1 + (seed % 5),
    followers: 0,
    shardCount: 1 + ((seed * 7) % 13),
    elements: 37 + ((seed * 31) % 150),
    steps: 3,
    shardMs: seed % 3 === 0 ? 60 : 4,
    retryMs: 40,
    faults: noFaults,
    faultsEndMs: 1500,
    maxMs: 6000,
  };
}

const faults = {
  drop: 0.1,
  duplicate: 0.1,
  stale: 0.05,
  death: 0.004,
  pause: 0.003,
  nonsense: 0.05,
  reconnect: 0.002,
};

describe("the exchange under seeds", () => {
  const fired: Record<string, number> = {};
  const add = (name: string, count: number): void => {
    fired[name] = (fired[name] ?? 0) + count;
  };

  test.each(seeds)("every rank gets the same bits through any fault (SEED=%i)", (seed) => {
    const world = new ExchangeWorld(seed, { ...optionsOf(seed), faults });
    const ended = world.run();
    expect(world.problems).toEqual([]);
    expect(ended, `still in step ${world.committed} after ${world.nowMs} ms`).toBe(true);
    for (const [name, count] of Object.entries(world.fired)) add(name, count);
    add("deals with holders of the sum", world.finishedHolders.count);
    for (const { exchange } of world.ranks) {
      for (const [name, count] of Object.entries(exchange.counters)) {
        add(name, Number(count));
      }
    }
  });

  test.each(seeds)("followers get the same bits as well, through any fault (SEED=%i)", (seed) => {
    const followers = 1 + (seed % 2);
    const world = new ExchangeWorld(seed, { ...optionsOf(seed), faults, followers });
    const ended = world.run();
    expect(world.problems).toEqual([]);
    expect(ended, `still in step ${world.committed} after ${world.nowMs} ms`).toBe(true);
  });

  test.each(seeds)("nobody waits for a follower that is not there (SEED=%i)", (seed) => {
    const options = { ...optionsOf(seed), followers: 2, isDeaf: true };
    const world = new ExchangeWorld(seed, options);
    expect(world.run()).toBe(true);
    expect(world.problems).toEqual([]);
  });

  test.each(seeds)("a bad network alone costs at most its repeats (SEED=%i)", (seed) => {
    const only = { ...noFaults, drop: 0.2, duplicate: 0.2 };
    const options = { ...optionsOf(seed), faults: only };
    const world = new ExchangeWorld(seed, { ...options, faultsEndMs: Infinity, maxMs: 20_000 });
    expect(world.run()).toBe(true);
    expect(world.problems).toEqual([]);
  });

  test.each(seeds)("without faults every byte is sent once (SEED=%i)", (seed) => {
    // Long enough for a frame there and back, short enough that ranks wait longer for shards.
    const options = { ...optionsOf(seed), retryMs: 120 };
    const world = new ExchangeWorld(seed, options);
    const expected = bytesNeeded(world, options);
    expect(world.run()).toBe(true);
    expect(world.problems).toEqual([]);
    expect(world.sentBytes).toEqual(Array.from({ length: options.steps }, () => expected));
    for (const { exchange } of world.ranks) {
      const { duplicates, unasked, stale, bad, overflow } = exchange.counters;
      expect({ duplicates, unasked, stale, bad, overflow }).toEqual({
        duplicates: 0,
        unasked: 0,
        stale: 0,
        bad: 0,
        overflow: 0,
      });
    }
  });

  afterAll(() => {
    if (one !== undefined) return;
    // An injector, or a defence, that never fires tests nothing.
    for (const name of [
      ...Object.keys(faults),
      "deals with holders of the sum",
      "requestsRepeated",
      "duplicates",
      "unasked",
      "stale",
      "bad",
    ]) {
      expect(fired[name], name).toBeGreaterThan(5);
    }
  });
});

/** Every owner gets its segment of each node that it did not make, all others get its sum. */
function bytesNeeded(world: ExchangeWorld, { elements, shardCount }: WorldOptions): number {
  const units = Math.ceil(elements / unitElements);
  const worldSize = world.ranks.length;
  const held = world.ranks.map(({ ranges }) =>
    ranges.flatMap(({ first, end }) => nodes(first, end, shardCount)),
  );
  const cover = held.flat().length;
  let total = 0;
  world.ranks.forEach((_, rank) => {
    const first = Math.floor((units * rank) / worldSize) * unitElements;
    const end = Math.min(elements, Math.floor((units * (rank + 1)) / worldSize) * unitElements);
    const makesAll = cover === 1;
    const askers = world.ranks.filter((_, i) => i !== rank && !(makesAll && held[i]?.length === 1));
    const foreign = cover - (held[rank]?.length ?? 0);
    total += 4 * (end - first) * (foreign + askers.length);
  });
  return total;
}
