import { rmSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";

import { tensors } from "../../src/bit/architecture.js";
import { initialParameters } from "../../src/bit/initial.js";
import type { EngineSpec, TrainingBatch } from "../../src/engine/engine.js";
import { bars, deviations, goldenSpec } from "../golden/compare.js";
import { readGolden } from "../golden/reference.js";
import {
  batchFor,
  bitsOf,
  engineOf,
  gradientOf,
  relativeDistance,
  scratch,
  tiny,
  weightsFor,
} from "./engineFixtures.js";

afterAll(() => rmSync(scratch, { recursive: true }));

const kinds = ["eager", "recorded"] as const;

describe.each(kinds)("the %s engine", (kind) => {
  test("agrees with the reference in float64 through three updates", () => {
    const golden = readGolden("test/golden/values/tiny-r14x1-side32.json");
    const engine = engineOf(kind, goldenSpec(golden));
    const found = deviations(golden, engine);
    engine.dispose();
    const bar = bars(golden);
    expect(found.logits).toBeLessThan(bar.logits);
    expect(found.losses).toBeLessThan(bar.losses);
    expect(found.gradients).toBeLessThan(bar.gradients);
    expect(found.weights).toBeLessThan(bar.weights);
  });

  test("starts at the logarithm of the class count, with a gradient in the head alone", () => {
    const engine = engineOf(kind, tiny);
    engine.write(initialParameters(tiny.architecture, tiny.classes, 3), undefined);
    const { gradient, lossSum } = gradientOf(engine, [batchFor(tiny, 1)]);
    engine.dispose();
    expect(lossSum).toBe(tiny.microBatch * Math.fround(Math.log(tiny.classes)));
    for (const { name, offset, size } of tensors(tiny.architecture, tiny.classes)) {
      const isZero = gradient.subarray(offset, offset + size).every((value) => value === 0);
      expect([name, isZero]).toEqual([name, !name.startsWith("resnet/head/")]);
    }
  });

  test("gives MixUp's loss as worked out by hand from the mixed pictures' logits", () => {
    const spec: EngineSpec = { ...tiny, mixup: true, microBatch: 2, pixels: "floats" };
    const batch = mixingBatch(spec);
    const engine = engineOf(kind, spec);
    engine.write(weightsFor(spec), undefined);
    const mixed = floats(batch.images).map(
      (own, index) => 0.3 * own + 0.7 * (floats(batch.partnerImages)[index] ?? NaN),
    );
    const logits = engine.logits(new Uint8Array(mixed.buffer));
    const { lossSum } = gradientOf(engine, [batch]);
    engine.dispose();
    const rows = [logits.subarray(0, 5), logits.subarray(5, 10)];
    const wanted = rows.map((row, example) => {
      const own = crossEntropy(row, batch.labels[example] ?? NaN);
      return 0.3 * own + 0.7 * crossEntropy(row, batch.partnerLabels[example] ?? NaN);
    });
    expect(lossSum).toBeCloseTo((wanted[0] ?? NaN) + (wanted[1] ?? NaN), 4);
  });
});

test("micro-batches of 1 and of 32 give the same gradient sum", () => {
  const whole = { ...tiny, microBatch: 32 };
  const batch = batchFor(whole, 2);
  const together = engineOf("recorded", whole);
  together.write(weightsFor(whole), undefined);
  const expected = gradientOf(together, [batch]);
  together.dispose();

  const single = { ...tiny, microBatch: 1 };
  const alone = engineOf("recorded", single);
  alone.write(weightsFor(single), undefined);
  const found = gradientOf(alone, singles(batch, 32));
  alone.dispose();
  expect(relativeDistance(found.gradient, expected.gradient)).toBeLessThan(1e-5);
  expect(found.lossSum).toBeCloseTo(expected.lossSum, 3);
});

test("the recording does what the eager model does, MixUp and odd byte counts included", () => {
  const spec: EngineSpec = { ...tiny, side: 33, microBatch: 3, mixup: true };
  const [first, second] = [batchFor(spec, 3), batchFor(spec, 4)];
  const [eager, recorded] = kinds.map((kind) => {
    const engine = engineOf(kind, spec);
    engine.write(weightsFor(spec), undefined);
    const before = gradientOf(engine, [first, second]);
    const update = { count: 6, rate: 0.01, momentum: 0.9, weightDecay: 0.1 };
    engine.apply(before.gradient, update);
    const after = gradientOf(engine, [second]);
    engine.apply(after.gradient, { ...update, count: 3 });
    const state = engine.read();
    const evaluation = engine.evaluate(first);
    const logits = engine.logits(first.images);
    engine.dispose();
    return { before, after, state, evaluation, logits };
  });
  if (eager === undefined || recorded === undefined) throw new Error("two engines were run");
  expect(relativeDistance(recorded.before.gradient, eager.before.gradient)).toBeLessThan(1e-5);
  expect(recorded.before.lossSum).toBeCloseTo(eager.before.lossSum, 3);
  expect(relativeDistance(recorded.after.gradient, eager.after.gradient)).toBeLessThan(1e-3);
  expect(relativeDistance(recorded.state.parameters, eager.state.parameters)).toBeLessThan(1e-5);
  expect(relativeDistance(recorded.state.momentum, eager.state.momentum)).toBeLessThan(1e-3);
  expect(recorded.evaluation.correct).toBe(eager.evaluation.correct);
  expect(recorded.evaluation.lossSum).toBeCloseTo(eager.evaluation.lossSum, 2);
  expect(relativeDistance(recorded.logits, eager.logits)).toBeLessThan(1e-3);
});

test("padding contributes nothing, whatever its pictures and labels are", () => {
  const engine = engineOf("recorded", tiny);
  engine.write(weightsFor(tiny), undefined);
  const weights = Float32Array.of(1, 1, 1, 1, 1, 0, 0, 0);
  const [batch, other] = [batchFor(tiny, 5), batchFor(tiny, 6)];
  const pixels = 5 * tiny.side * tiny.side * 3;
  const padded = { ...batch, weights };
  const paddedOtherwise = {
    images: Uint8Array.from([
      ...batch.images.subarray(0, pixels),
      ...other.images.subarray(pixels),
    ]),
    labels: Int32Array.from([...batch.labels.subarray(0, 5), 0, 1, 2]),
    weights,
  };
  const [one, two] = [gradientOf(engine, [padded]), gradientOf(engine, [paddedOtherwise])];
  const evaluations = [engine.evaluate(padded), engine.evaluate(paddedOtherwise)];
  engine.dispose();
  expect(bitsOf(two.gradient).equals(bitsOf(one.gradient))).toBe(true);
  expect(two.lossSum).toBe(one.lossSum);
  expect(evaluations[1]).toEqual(evaluations[0]);
});

test("evaluation counts the examples whose largest logit is their label's", () => {
  const engine = engineOf("recorded", tiny);
  engine.write(weightsFor(tiny), undefined);
  const batch = batchFor(tiny, 7);
  const logits = engine.logits(batch.images);
  const best = Int32Array.from({ length: 8 }, (_, example) => {
    const row = logits.subarray(5 * example, 5 * example + 5);
    return row.indexOf(Math.max(...row));
  });
  const right = engine.evaluate({ ...batch, labels: best });
  const weights = Float32Array.of(1, 1, 1, 0, 0, 0, 0, 0);
  const padded = engine.evaluate({ ...batch, labels: best, weights });
  const labels = best.map((label, example) => (example < 2 ? (label + 1) % 5 : label));
  const wrong = engine.evaluate({ ...batch, labels });
  engine.dispose();
  const loss = [...best].map((label, example) =>
    crossEntropy(logits.subarray(5 * example, 5 * example + 5), label),
  );
  expect([right.correct, padded.correct, wrong.correct]).toEqual([8, 3, 6]);
  expect(right.lossSum).toBeCloseTo(
    loss.reduce((sum, value) => sum + value, 0),
    4,
  );
});

function singles(batch: Required<TrainingBatch>, count: number): readonly TrainingBatch[] {
  const bytes = batch.images.length / count;
  return Array.from({ length: count }, (_, example) => ({
    images: batch.images.slice(example * bytes, (example + 1) * bytes),
    labels: batch.labels.slice(example, example + 1),
    weights: batch.weights.slice(example, example + 1),
  }));
}

function mixingBatch(spec: EngineSpec): Required<TrainingBatch> {
  const batch = batchFor(spec, 8);
  const pictures = (bytes: Uint8Array): Uint8Array =>
    new Uint8Array(Float32Array.from(bytes, (byte) => byte / 127.5 - 1).buffer);
  return {
    ...batch,
    images: pictures(batch.images),
    partnerImages: pictures(batch.partnerImages),
    labels: Int32Array.of(0, 1),
    partnerLabels: Int32Array.of(3, 1),
  };
}

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer);
}

function crossEntropy(logits: Float32Array, label: number): number {
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
  return Math.log(total) - (logits[label] ?? NaN);
}
