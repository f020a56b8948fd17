import { expect, test } from "vitest";
import { fnv1a32, hash32, mix32, Random, scale32 } from "../../src/plan/random.js";

test("the bits are those recorded: a change here changes the result of every job", () => {
  expect([hash32(), hash32(0), hash32(1), hash32(1, 2, 3), hash32(2 ** 32 - 1)]).toEqual([
    0, 1421307245, 744966253, 2358804995, 3385062950,
  ]);
  const random = new Random(7, 11);
  expect([random.uint32(), random.uint32(), random.uint32()]).toEqual([
    2529999189, 1989928094, 1983754666,
  ]);
  expect([random.float(), random.below(1000), random.beta(0.1, 0.1)]).toEqual([
    0.7273978304306957, 208, 0.9999961417491013,
  ]);
  const values = Uint32Array.from({ length: 10 }, (_, i) => i);
  new Random(3).shuffle(values);
  expect([...values]).toEqual([9, 4, 3, 7, 1, 6, 5, 8, 2, 0]);
});

test("FNV-1a gives its published values, over UTF-8", () => {
  expect(fnv1a32("")).toBe(0x811c9dc5);
  expect(fnv1a32("a")).toBe(0xe40c292c);
  expect(fnv1a32("foobar")).toBe(0xbf9cf968);
  expect(fnv1a32("ü")).not.toBe(fnv1a32("u"));
});

test("every input bit changes about half of the output bits", () => {
  for (let bit = 0; bit < 32; bit += 1) {
    let changed = 0;
    for (let i = 0; i < 500; i += 1) {
      for (let difference = mix32(i) ^ mix32(i ^ (1 << bit)); difference !== 0;) {
        difference &= difference - 1;
        changed += 1;
      }
    }
    expect(changed / 500).toBeGreaterThan(14);
    expect(changed / 500).toBeLessThan(18);
  }
});

test("a hash depends on the order and on the number of its numbers", () => {
  const hashes = [hash32(1, 2), hash32(2, 1), hash32(1), hash32(1, 0), hash32(1, 0, 0), hash32(0)];
  expect(new Set(hashes).size).toBe(hashes.length);
});

test("small ranges are drawn evenly, bounds included", () => {
  const random = new Random(5);
  const counts = new Uint32Array(33);
  const scaled = new Uint32Array(33);
  for (let i = 0; i < 33_000; i += 1) {
    const drawn = random.below(33);
    counts[drawn] = (counts[drawn] ?? 0) + 1;
    const hashed = scale32(hash32(5, i), 33);
    scaled[hashed] = (scaled[hashed] ?? 0) + 1;
  }
  for (const count of [...counts, ...scaled]) {
    expect(count).toBeGreaterThan(850);
    expect(count).toBeLessThan(1150);
  }
  expect(scale32(2 ** 32 - 1, 33)).toBe(32);
  expect(scale32(2 ** 32 - 1, 1)).toBe(0);
});

test.each([0.001, 0.1, 0.4, 1, 2])(
  "Beta(a, a) for a = %f lies in [0, 1] with its mean and variance",
  (a) => {
    const random = new Random(9);
    const draws = Array.from({ length: 20_000 }, () => random.beta(a, a));
    expect(draws.every((value) => value >= 0 && value <= 1)).toBe(true);
    const mean = draws.reduce((sum, value) => sum + value, 0) / draws.length;
    const variance = draws.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.012);
    expect(variance * 4 * (2 * a + 1)).toBeGreaterThan(0.96);
    expect(variance * 4 * (2 * a + 1)).toBeLessThan(1.04);
  },
);

test("all 24 orders of four values come equally often", () => {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 24_000; seed += 1) {
    const values = Uint32Array.of(0, 1, 2, 3);
    new Random(seed).shuffle(values);
    counts.set(values.join(), (counts.get(values.join()) ?? 0) + 1);
  }
  expect(counts.size).toBe(24);
  for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
});
