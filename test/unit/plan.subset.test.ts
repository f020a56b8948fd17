import { expect, test } from "vitest";
import { ConfigError } from "../../src/job/problem.js";
import { evaluationShards } from "../../src/plan/evaluation.js";
import { Random } from "../../src/plan/random.js";
import { splitForValidation } from "../../src/plan/split.js";
import { examplesPerClass } from "../../src/plan/subset.js";

const seeds = Array.from({ length: 10 }, (_, seed) => seed);
const classes = ["ant", "bee", "cat"];

function randomLabels(seed: number, count = 200): Uint8Array {
  const random = new Random(seed, 5);
  return Uint8Array.from({ length: count }, () => random.below(3));
}

test.each(seeds)(
  "the few-shot selection has exactly k distinct ones of each class (SEED=%i)",
  (seed) => {
    const labels = randomLabels(seed);
    for (const k of [1, 5, 20]) {
      const chosen = examplesPerClass(labels, classes, k, seed);
      expect(new Set(chosen).size).toBe(3 * k);
      expect(chosen).toEqual(chosen.toSorted((a, b) => a - b));
      for (const label of [0, 1, 2]) {
        expect(chosen.filter((i) => labels[i] === label)).toHaveLength(k);
      }
      expect(examplesPerClass(labels, classes, k, seed)).toEqual(chosen);
    }
    expect(examplesPerClass(labels, classes, 5, seed)).not.toEqual(
      examplesPerClass(labels, classes, 5, seed + 1),
    );
  },
);

test("every example of a class is chosen equally often over the seeds", () => {
  const labels = [0, 0, 0, 0, 0];
  const counts = [0, 0, 0, 0, 0];
  for (let seed = 0; seed < 5000; seed += 1) {
    for (const i of examplesPerClass(labels, ["ant"], 2, seed)) counts[i] = (counts[i] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(150);
});

test("a class with too few examples is named", () => {
  const choose = (): unknown => examplesPerClass([0, 1, 0, 1, 2, 0], classes, 2, 0);
  expect(choose).toThrow(ConfigError);
  expect(choose).toThrow('examples-per-class 2 is more than class "cat" has: 1');
  expect(examplesPerClass([0, 1, 0, 1, 2, 2], classes, 2, 0)).toEqual([0, 1, 2, 3, 4, 5]);
});

test.each(seeds)(
  "a split uses every example once, with each class in proportion (SEED=%i)",
  (seed) => {
    const labels = randomLabels(seed, 300);
    const { training, validation } = splitForValidation(labels, 3, 0.1, seed);
    expect([...training, ...validation].toSorted((a, b) => a - b)).toEqual([...labels.keys()]);
    expect(validation).toEqual(validation.toSorted((a, b) => a - b));
    for (const label of [0, 1, 2]) {
      const all = labels.filter((own) => own === label).length;
      const aside = validation.filter((i) => labels[i] === label).length;
      expect(aside).toBe(Math.round(all / 10));
    }
    expect(splitForValidation(labels, 3, 0.1, seed).validation).toEqual(validation);
    expect(splitForValidation(labels, 3, 0.1, seed + 1).validation).not.toEqual(validation);
  },
);

test.each([
  [1, 0.5, 0],
  [2, 0.1, 1],
  [2, 0.9, 1],
  [3, 0.1, 1],
  [10, 0.99, 9],
  [100, 0.25, 25],
  [100, 0, 0],
])("of %i examples of a class, a fraction of %d sets %i aside", (count, fraction, aside) => {
  const labels = Array.from({ length: count }, () => 0);
  const { training, validation } = splitForValidation(labels, 1, fraction, 3);
  expect([training.length, validation.length]).toEqual([count - aside, aside]);
});

test.each([
  [0, 64, []],
  [1, 64, [[0, 1]]],
  [64, 64, [[0, 64]]],
  [
    130,
    64,
    [
      [0, 64],
      [64, 128],
      [128, 130],
    ],
  ],
])("%i validation examples in slices of %i are %j", (examples, size, expected) => {
  const slices = evaluationShards(examples, size);
  expect(slices.map(({ first, end }) => [first, end])).toEqual(expected);
  expect(evaluationShards(examples)).toEqual(slices);
});

test("the selection of a seed is the recorded one", () => {
  const labels = Array.from({ length: 30 }, (_, i) => i % 3);
  expect(examplesPerClass(labels, classes, 2, 42)).toEqual([9, 11, 20, 21, 22, 28]);
  expect(splitForValidation(labels, 3, 0.2, 42).validation).toEqual([5, 6, 15, 17, 22, 25]);
});
