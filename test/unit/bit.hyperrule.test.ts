import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { hyperRule, mixupAlpha, resolution, schedule } from "../../src/bit/hyperrule.js";
import { rate, recipeRow, stretched } from "../../src/bit/recipe.js";
import type { Schedule } from "../../src/bit/schedule.js";

interface Golden {
  readonly resolution: readonly {
    readonly height: number;
    readonly width: number;
    readonly precrop: number;
    readonly crop: number;
  }[];
  readonly datasets: readonly {
    readonly size: number;
    readonly schedule: readonly number[];
    readonly mixup: number;
    readonly learningRate: readonly { readonly step: number; readonly rate: number | null }[];
  }[];
}

// The cast: the file is ours, and a wrong shape fails the comparisons below.
const golden = JSON.parse(
  readFileSync(new URL("../golden/values/hyperrule.json", import.meta.url), "utf8"),
) as Golden;

test.each(golden.resolution)(
  "pictures of $height x $width are cut as the reference does",
  (row) => {
    expect(resolution(row.height, row.width)).toEqual({ resize: row.precrop, crop: row.crop });
  },
);

describe.each(golden.datasets)("a data set of $size", (row) => {
  const ours = schedule(row.size);

  test("has the boundaries and MixUp of the reference", () => {
    expect([ours.warmupSteps, ...ours.boundaries, ours.steps]).toEqual(row.schedule);
    expect(mixupAlpha(row.size)).toBe(row.mixup);
  });

  test("has the reference's rates, to the last bit, and ends where it ends", () => {
    expect(row.learningRate.length).toBeGreaterThan(10);
    for (const { step, rate: expected } of row.learningRate) {
      expect(step >= ours.steps).toBe(expected === null);
      expect(rate(ours, step)).toBe(expected ?? 0);
    }
  });
});

test("the hyper-rule has momentum and neither weight decay nor, for few examples, MixUp", () => {
  const input = { trainingExamples: 50, medianWidth: 28, medianHeight: 28, batch: 512 };
  expect(hyperRule(input)).toEqual({
    schedule: {
      baseRate: 0.003,
      warmupSteps: 100,
      boundaries: [200, 300, 400],
      steps: 500,
      decay: 10,
    },
    drops: [0.4, 0.6, 0.8],
    momentum: 0.9,
    weightDecay: 0,
    resize: 160,
    crop: 128,
    mixup: 0,
  });
  expect(recipeRow("hyperrule", input)).toEqual(hyperRule(input));
});

test("the upstream recipe is the article's for ImageNet at its batch", () => {
  const row = recipeRow("upstream", {
    trainingExamples: 1_281_167,
    medianWidth: 500,
    medianHeight: 375,
    batch: 4096,
  });
  expect(row.schedule.baseRate).toBe(0.48);
  expect(row.schedule).toMatchObject({ warmupSteps: 5000, steps: 28_151 });
  expect(row.schedule.boundaries).toEqual([9384, 18_767, 25_023]);
  expect(row).toMatchObject({ weightDecay: 1e-4, momentum: 0.9, mixup: 0, resize: 256, crop: 224 });
});

test.each([
  [10, 100],
  [1000, 176],
  [10 ** 9, 1_000_000],
])("upstream, %i examples make %i steps of 512", (trainingExamples, steps) => {
  const input = { trainingExamples, medianWidth: 32, medianHeight: 32, batch: 512 };
  const row = recipeRow("upstream", input);
  expect(row.schedule.steps).toBe(steps);
  expect(row.schedule.warmupSteps).toBe(Math.min(5000, Math.round(steps * 0.18)));
  expect([row.resize, row.crop]).toEqual([160, 128]);
});

test.each([
  [50, 500, [100, 200, 300, 400]],
  [50, 60, [12, 24, 36, 48]],
  [50, 5, [1, 2, 3, 4]],
  [50, 7, [1, 3, 4, 6]],
  [50, 1, [0, 0, 1, 1]],
  [50_000, 100, [5, 30, 60, 90]],
  [1_281_167, 1000, [25, 300, 600, 900]],
])("the row for %i examples over %i steps keeps its proportions", (examples, steps, expected) => {
  const input = { trainingExamples: examples, medianWidth: 28, medianHeight: 28, batch: 512 };
  const ours = stretched(hyperRule(input), steps);
  expect([ours.warmupSteps, ...ours.boundaries]).toEqual(expected);
  expect(ours.steps).toBe(steps);
  expect(ours.baseRate).toBe(0.003);
});

test("the upstream row over 80 steps drops at the exact thirds, not at rounded ones", () => {
  const input = { trainingExamples: 300, medianWidth: 28, medianHeight: 28, batch: 512 };
  expect(recipeRow("upstream", input).schedule.steps).toBe(100);
  const ours = stretched(recipeRow("upstream", input), 80);
  expect([ours.warmupSteps, ...ours.boundaries]).toEqual([14, 27, 53, 71]);
});

test("a drop divides by 10, which is not the same as multiplying by a tenth", () => {
  const drop: Schedule = { baseRate: 3, warmupSteps: 0, boundaries: [1], steps: 9, decay: 10 };
  expect(rate(drop, 2)).toBe(0.3);
});

test("without warm-up the first step has the whole rate", () => {
  const flat: Schedule = { baseRate: 0.5, warmupSteps: 0, boundaries: [], steps: 2, decay: 10 };
  expect([0, 1, 2].map((step) => rate(flat, step))).toEqual([0.5, 0.5, 0]);
});
