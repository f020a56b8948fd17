import { tensors } from "../../src/bit/architecture.js";
import type { Engine, EngineSpec } from "../../src/engine/engine.js";
import {
  goldenArchitecture,
  goldenImages,
  goldenWeights,
  type GoldenFile,
  type TensorValues,
} from "./reference.js";

/** The largest deviation of each kind from a golden file. */
export interface Deviations {
  /** As a share of the largest logit (of 1 if that is smaller), before and after the updates. */
  readonly logits: number;
  /** Absolute, over all steps. */
  readonly losses: number;
  /** Of one tensor's values, sum and norm, each as a share of what the tensor's norm makes of it. */
  readonly gradients: number;
  /** As for the gradients, after the last update. */
  readonly weights: number;
}

/**
 * What float32 can be held to. The tiny model agrees to 1e-4 everywhere; at its second or third
 * update one activation is so near 0 that the instruction set decides whether a ReLU lets it pass,
 * which moves its last logits (of up to 7) by 1e-5 or by 2e-4. The deep ones are ill-conditioned at
 * these small sides: PyTorch in float32 is itself off by 5e-5 in the logits and by 7e-3 of a
 * tensor's norm in the gradients. Their one update passes that on to the weights, times the rate.
 */
export function bars(golden: GoldenFile): Deviations {
  const { units, gradients, weightsAfter, learningRate } = golden;
  const deep = units.reduce((sum, count) => sum + count, 0) > 8;
  if (!deep) return { logits: 1e-4, losses: 1e-4, gradients: 1e-4, weights: 1e-4 };
  const gradient = 1e-2;
  const steepest = worst(
    ...Object.entries(gradients).map(([name, { l2 }]) => l2 / (weightsAfter[name]?.l2 ?? NaN)),
  );
  const weights = learningRate * gradient * steepest;
  return { logits: 5e-4, losses: 5e-4, gradients: gradient, weights };
}

export function goldenSpec(golden: GoldenFile): EngineSpec {
  const { batch, classes, side } = golden;
  const architecture = goldenArchitecture(golden);
  return { architecture, classes, side, microBatch: batch, mixup: false, pixels: "floats" };
}

/** Trains as long as the file did and says how far from it every value is. */
export function deviations(golden: GoldenFile, engine: Engine): Deviations {
  const { architecture, classes, side } = goldenSpec(golden);
  const table = tensors(architecture, classes);
  const pictures = goldenImages(golden.batch * side * side * 3);
  const images = new Uint8Array(pictures.buffer);
  const batch = {
    images,
    labels: Int32Array.from(golden.labels),
    weights: new Float32Array(golden.batch).fill(1),
  };
  engine.write(goldenWeights(table), undefined);
  let logits = logitDeviation(engine.logits(images), golden.logits);

  let [losses, gradients] = [0, 0];
  const sum = new Float32Array(engine.parameterCount);
  const compared = (flat: Float32Array, wanted: GoldenFile["gradients"]): number =>
    worst(
      ...table.map(({ name, offset, size }) =>
        tensorDeviation(flat.subarray(offset, offset + size), wanted[name]),
      ),
    );
  golden.losses.forEach((loss, step) => {
    engine.accumulate(batch);
    const { lossSum } = engine.take(sum);
    losses = worst(losses, Math.abs(lossSum / golden.batch - loss));
    const { learningRate: rate, momentum } = golden;
    engine.apply(sum, { count: golden.batch, rate, momentum, weightDecay: 0 });
    // From nothing, the momentum after one update is the gradient.
    if (step === 0) gradients = compared(engine.read().momentum, golden.gradients);
  });

  if (golden.logitsAfter !== undefined) {
    logits = worst(logits, logitDeviation(engine.logits(images), golden.logitsAfter));
  }
  const weights = compared(engine.read().parameters, golden.weightsAfter);
  return { logits, losses, gradients, weights };
}

function logitDeviation(logits: Float32Array, rows: readonly (readonly number[])[]): number {
  const wanted = rows.flat();
  return largest([...logits], wanted) / Math.max(1, ...wanted.map(Math.abs));
}

/**
 * How far a tensor is from what the file says of it, relative to its norm: its norm, its first
 * values, and its sum, which n errors of that size move by sqrt(n) times as much.
 */
function tensorDeviation(values: Float32Array, wanted: TensorValues | undefined): number {
  if (wanted === undefined) return NaN;
  let [squares, sum] = [0, 0];
  for (const value of values) {
    squares += value * value;
    sum += value;
  }
  const norm = Math.max(wanted.l2, 1e-12);
  const first = largest([...values.subarray(0, wanted.first.length)], wanted.first);
  const ofSum = Math.abs(sum - wanted.sum) / Math.sqrt(values.length);
  return worst(Math.abs(Math.sqrt(squares) - wanted.l2), first, ofSum) / norm;
}

function largest(values: readonly number[], wanted: readonly number[]): number {
  if (values.length !== wanted.length) return NaN;
  return worst(...values.map((value, index) => Math.abs(value - (wanted[index] ?? NaN))));
}

/** The largest; NaN if any is NaN, and so past every bar. */
function worst(...values: readonly number[]): number {
  return Math.max(0, ...values);
}
