import { expect, test } from "vitest";
import { deal } from "../../src/plan/deal.js";
import { Random } from "../../src/plan/random.js";
import { Sampler, type Draw, type SamplePlan } from "../../src/plan/sampler.js";

const seeds = Array.from({ length: 12 }, (_, seed) => seed);
const base: SamplePlan = {
  seed: 1,
  examples: 100,
  batch: 48,
  shards: 6,
  resize: 36,
  crop: 32,
  randomCrop: true,
  flip: true,
  mixup: 0.1,
};

function steps(plan: SamplePlan, count: number): readonly Draw[] {
  const sampler = new Sampler(plan);
  return Array.from({ length: count * plan.shards }, (_, at) =>
    sampler.draws(Math.floor(at / plan.shards), at % plan.shards),
  ).flat();
}

function randomPlan(seed: number): SamplePlan {
  const random = new Random(seed, 99);
  const shards = 1 + random.below(9);
  const batch = shards * (1 + random.below(16));
  return { ...base, seed, shards, batch, examples: 1 + random.below(300) };
}

test("the bits are those recorded: a change here changes the result of every job", () => {
  const sampler = new Sampler({ ...base, examples: 10, batch: 8, shards: 2 });
  expect(sampler.draws(1, 0)).toEqual([
    { example: 9, epoch: 0, top: 1, left: 3, flip: false, partner: 1 },
    { example: 2, epoch: 0, top: 4, left: 3, flip: false, partner: 2 },
    { example: 6, epoch: 1, top: 2, left: 3, flip: false, partner: 3 },
    { example: 8, epoch: 1, top: 0, left: 3, flip: true, partner: 0 },
  ]);
  expect([0, 1, 2].map((step) => sampler.lambda(step))).toEqual([
    0.000006685427706543123, 0.0000015407065347972093, 0.006064103916287422,
  ]);
});

test.each(seeds)("every pass uses every example once, across step borders (SEED=%i)", (seed) => {
  const plan = randomPlan(seed);
  const passes = 3;
  const draws = steps(plan, Math.ceil((passes * plan.examples) / plan.batch));
  const all = Array.from({ length: plan.examples }, (_, example) => example);
  for (let epoch = 0; epoch < passes; epoch += 1) {
    const pass = draws.slice(epoch * plan.examples, (epoch + 1) * plan.examples);
    expect(pass.every((draw) => draw.epoch === epoch)).toBe(true);
    expect(pass.map(({ example }) => example).toSorted((a, b) => a - b)).toEqual(all);
  }
});

test.each(seeds)("draws are the same however the shards are dealt (SEED=%i)", (seed) => {
  const plan = randomPlan(seed);
  const reference = new Sampler(plan);
  for (const workers of [1, 2, 3, 5]) {
    const ranges = deal(
      plan.shards,
      Array.from({ length: workers }, () => 1),
    ).toReversed();
    for (const { first, end } of ranges) {
      const own = new Sampler(plan);
      for (const step of [7, 0, 3]) {
        for (let shard = end - 1; shard >= first; shard -= 1) {
          expect(own.draws(step, shard)).toEqual(reference.draws(step, shard));
        }
        expect(own.lambda(step)).toBe(reference.lambda(step));
      }
    }
  }
});

test("passes have different orders, and so have seeds", () => {
  const order = (draws: readonly Draw[]): string =>
    draws
      .slice(0, 100)
      .map(({ example }) => example)
      .join();
  const draws = steps(base, 10);
  const orders = [0, 100, 200].map((first) => order(draws.slice(first)));
  expect(new Set([...orders, order(steps({ ...base, seed: 2 }, 3))]).size).toBe(4);
});

test("an example is cut and flipped differently in another pass", () => {
  const draws = steps({ ...base, examples: 1, batch: 600, shards: 6, mixup: 0 }, 10);
  for (const place of ["top", "left"] as const) {
    const counts = [0, 1, 2, 3, 4].map((at) => draws.filter((draw) => draw[place] === at).length);
    for (const count of counts) expect(Math.abs(count - 1200)).toBeLessThan(150);
    expect(counts.reduce((sum, count) => sum + count)).toBe(6000);
  }
  expect(Math.abs(draws.filter(({ flip }) => flip).length - 3000)).toBeLessThan(200);
  const together = draws.filter(({ top, left, flip }) => top === 4 && left === 0 && flip).length;
  expect(Math.abs(together - 6000 / 50)).toBeLessThan(50);
});

test("crop and flip are a matter of the place in the passes, not of the shards", () => {
  const cuts = (shards: number): unknown =>
    steps({ ...base, mixup: 0, shards }, 5).map(({ example, epoch, top, left, flip }) => {
      return { example, epoch, top, left, flip };
    });
  expect(cuts(3)).toEqual(cuts(16));
});

test("crop, flip and MixUp are each switched off", () => {
  const still = { ...base, randomCrop: false, flip: false, mixup: 0 };
  const draws = steps(still, 5);
  expect(draws.every(({ top, left, flip }) => top === 0 && left === 0 && !flip)).toBe(true);
  expect(draws.every(({ partner }, at) => partner === at % 8)).toBe(true);
  expect(new Sampler(still).lambda(3)).toBe(1);
  const whole = steps({ ...base, resize: 32 }, 5);
  expect(whole.every(({ top, left }) => top === 0 && left === 0)).toBe(true);
});

test.each([2, 3, 4, 16])("no picture of a shard of %i is mixed with itself", (size) => {
  const sampler = new Sampler({ ...base, batch: size * base.shards });
  for (let step = 0; step < 30; step += 1) {
    for (let shard = 0; shard < base.shards; shard += 1) {
      const own = sampler.draws(step, shard).filter(({ partner }, slot) => partner === slot);
      expect(own).toEqual([]);
    }
  }
});

test("partners are a permutation within the shard, other ones in every step and shard", () => {
  const sampler = new Sampler(base);
  const seen = new Set<string>();
  for (let step = 0; step < 20; step += 1) {
    for (let shard = 0; shard < base.shards; shard += 1) {
      const partners = sampler.draws(step, shard).map(({ partner }) => partner);
      expect(partners.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      expect(partners.every((partner, slot) => partner !== slot)).toBe(true);
      seen.add(partners.join());
    }
  }
  expect(seen.size).toBeGreaterThan(110);
});

test("the coefficient of MixUp is a float32 in [0, 1], one per step, Beta distributed", () => {
  const sampler = new Sampler(base);
  const lambdas = Array.from({ length: 20_000 }, (_, step) => sampler.lambda(step));
  expect(lambdas.every((value) => value >= 0 && value <= 1)).toBe(true);
  expect(lambdas.every((value) => Math.fround(value) === value)).toBe(true);
  const mean = lambdas.reduce((sum, value) => sum + value, 0) / lambdas.length;
  const variance = lambdas.reduce((sum, value) => sum + (value - mean) ** 2, 0) / lambdas.length;
  expect(Math.abs(mean - 0.5)).toBeLessThan(0.012);
  expect(Math.abs(variance * 4 * 1.2 - 1)).toBeLessThan(0.03);
  expect(sampler.lambda(17)).toBe(new Sampler(base).lambda(17));
});

test.each([1, 7, 50])("%i examples fill a batch of 512", (examples) => {
  const draws = steps({ ...base, examples, batch: 512, shards: 32 }, 2);
  const uses = Array.from({ length: examples }, () => 0);
  for (const { example } of draws) uses[example] = (uses[example] ?? 0) + 1;
  expect(Math.max(...uses) - Math.min(...uses)).toBeLessThanOrEqual(1);
  expect(draws.at(-1)?.epoch).toBe(Math.floor(1023 / examples));
});

test("a large data set is sampled late in its passes within the time of a step", () => {
  const plan = { ...base, examples: 2_000_000, batch: 512, shards: 32 };
  const sampler = new Sampler(plan);
  const step = 1_000_000;
  sampler.draws(step, 0);
  const started = performance.now();
  for (let shard = 0; shard < 32; shard += 1) sampler.draws(step, shard);
  // Under 1 ms; the bound is for busy machines, and shuffling for every shard would take 2 s.
  expect(performance.now() - started).toBeLessThan(300);
});

test("a plan that cannot be drawn from is a broken invariant", () => {
  expect(() => new Sampler({ ...base, examples: 0 })).toThrow("no examples to draw from");
  expect(() => new Sampler({ ...base, shards: 7 })).toThrow("7 shards of a batch of 48");
  expect(() => new Sampler({ ...base, crop: 40 })).toThrow("a crop of 40 from 36");
  expect(() => new Sampler(base).draws(0, 6)).toThrow("shard 6 of 6");
});
