import { expect, test } from "vitest";
import { deal, dealMissing } from "../../src/plan/deal.js";
import { Random } from "../../src/plan/random.js";
import type { Range } from "../../src/plan/tree.js";

const seeds = Array.from({ length: 100 }, (_, seed) => seed);
const count = ({ first, end }: Range): number => end - first;

test.each([
  [32, [1], [32]],
  [32, [1, 1], [16, 16]],
  [32, [1, 1, 1], [11, 11, 10]],
  [32, [1, 1, 1, 1, 1], [7, 7, 6, 6, 6]],
  [2, [1, 1, 1], [1, 1, 0]],
  [32, [3, 1], [24, 8]],
  [32, [1, 3], [8, 24]],
  [10, [0, 5, 5], [0, 5, 5]],
  [3, [10, 1], [3, 0]],
  [0, [1, 1], [0, 0]],
])("%i shards at speeds %j are dealt as %j", (shardCount, speeds, counts) => {
  expect(deal(shardCount, speeds).map(count)).toEqual(counts);
});

/** The least time of the slowest rank over all ways to cut `total`, by trying all of them. */
function leastTime(total: number, held: readonly number[], speeds: readonly number[]): number {
  const [load, ...loads] = held;
  const [speed, ...rest] = speeds;
  if (load === undefined || speed === undefined) return total === 0 ? 0 : Infinity;
  let least = Infinity;
  for (let own = 0; own <= total; own += 1) {
    // What is held already cannot be taken away, so a rank that gets nothing does not count.
    const time = own === 0 ? 0 : (load + own) / speed;
    least = Math.min(least, Math.max(time, leastTime(total - own, loads, rest)));
  }
  return least;
}

test.each(seeds)(
  "a deal covers all shards in rank order and none does it faster (SEED=%i)",
  (seed) => {
    const random = new Random(seed);
    const speeds = Array.from({ length: 1 + random.below(4) }, () => 1 + random.below(50) / 7);
    const shardCount = random.below(20);
    const ranges = deal(shardCount, speeds);
    expect(ranges).toHaveLength(speeds.length);
    let at = 0;
    for (const { first, end } of ranges) {
      expect(first).toBe(at);
      expect(end).toBeGreaterThanOrEqual(first);
      at = end;
    }
    expect(at).toBe(shardCount);
    const slowest = Math.max(...ranges.map((range, rank) => count(range) / (speeds[rank] ?? 0)));
    const idle = speeds.map(() => 0);
    expect(slowest).toBeCloseTo(leastTime(shardCount, idle, speeds), 12);
  },
);

test.each(seeds)("what a lost rank held is dealt exactly once, soonest done (SEED=%i)", (seed) => {
  const random = new Random(seed, 1);
  const shardCount = 4 + random.below(20);
  const speeds = Array.from({ length: 2 + random.below(3) }, () => 1 + random.below(50) / 7);
  const lost = random.below(speeds.length);
  const ranges = deal(shardCount, speeds);
  const gone = ranges.filter((_, rank) => rank === lost || random.below(4) === 0);
  const survivors = speeds.filter((_, rank) => rank !== lost);
  const held = survivors.map(() => random.below(6));

  const dealt = dealMissing(gone, held, survivors);
  expect(dealt).toHaveLength(survivors.length);
  const shards = (parts: readonly Range[]): number[] =>
    parts.flatMap(({ first, end }) => Array.from({ length: end - first }, (_, i) => first + i));
  expect(dealt.flatMap(shards)).toEqual(shards(gone));
  expect(dealt.flat().every((range) => count(range) > 0)).toBe(true);

  const total = gone.reduce((sum, range) => sum + count(range), 0);
  const times = dealt.map((parts, rank) => {
    const own = parts.reduce((sum, range) => sum + count(range), 0);
    return own === 0 ? 0 : ((held[rank] ?? 0) + own) / (survivors[rank] ?? 0);
  });
  expect(Math.max(...times)).toBeCloseTo(leastTime(total, held, survivors), 12);
});

test("neighbouring gaps are joined and a gap is cut where a rank's share ends", () => {
  const missing = [
    { first: 8, end: 10 },
    { first: 0, end: 2 },
    { first: 2, end: 4 },
    { first: 5, end: 5 },
  ];
  expect(dealMissing(missing, [5, 5], [1, 1])).toEqual([
    [{ first: 0, end: 3 }],
    [
      { first: 3, end: 4 },
      { first: 8, end: 10 },
    ],
  ]);
});

test("shards that nobody can take, or that are missing twice, are a broken invariant", () => {
  expect(() => deal(4, [])).toThrow("no rank of 0 can take 4 shards");
  expect(() => deal(4, [0, 0])).toThrow("no rank of 2 can take 4 shards");
  const twice = [
    { first: 0, end: 3 },
    { first: 2, end: 4 },
  ];
  expect(() => dealMissing(twice, [0], [1])).toThrow("shard 2 is missing twice");
});
