import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { vi } from "vitest";

import { architecture, tensors } from "../../src/bit/architecture.js";
import { EagerEngine } from "../../src/engine/eagerEngine.js";
import type { Engine, EngineSpec, TrainingBatch } from "../../src/engine/engine.js";
import { createEngine } from "../../src/engine/recordedEngine.js";
import { loadTensorFlow } from "../../src/engine/tensorflow.js";
import { Random } from "../../src/plan/random.js";
import { goldenWeights } from "../golden/reference.js";

// Compiling a graph takes seconds when other tests have the processor.
vi.setConfig({ testTimeout: 60_000 });

// Bits depend on the number of threads.
process.env["TF_NUM_INTRAOP_THREADS"] = "2";
export const tf = await loadTensorFlow();

export const scratch = mkdtempSync(path.join(tmpdir(), "bitfleet-engine-"));

export const tiny: EngineSpec = {
  architecture: architecture("1-1-1-1x0.5"),
  classes: 5,
  side: 32,
  microBatch: 8,
  mixup: false,
};

export function engineOf(kind: "eager" | "recorded", spec: EngineSpec): Engine {
  return kind === "eager" ? new EagerEngine(tf, spec) : createEngine(tf, spec, scratch);
}

/** Weights without symmetry or zeros, so that every tensor matters to every other's gradient. */
export function weightsFor({ architecture: model, classes }: EngineSpec): Float32Array {
  return goldenWeights(tensors(model, classes));
}

/** Random pictures and labels; with MixUp, partners too. */
export function batchFor(spec: EngineSpec, seed: number): Required<TrainingBatch> {
  const random = new Random(seed);
  const byteCount = spec.microBatch * spec.side * spec.side * 3;
  const images = (): Uint8Array => Uint8Array.from({ length: byteCount }, () => random.below(256));
  const labels = (): Int32Array =>
    Int32Array.from({ length: spec.microBatch }, () => random.below(spec.classes));
  return {
    images: images(),
    labels: labels(),
    weights: new Float32Array(spec.microBatch).fill(1),
    partnerImages: images(),
    partnerLabels: labels(),
    lambda: 0.3,
  };
}

/** Gradient sum and loss of one or more micro-batches. */
export function gradientOf(
  engine: Engine,
  batches: readonly TrainingBatch[],
): { readonly gradient: Float32Array; readonly lossSum: number; readonly finite: boolean } {
  const gradient = new Float32Array(engine.parameterCount);
  for (const batch of batches) engine.accumulate(batch);
  return { gradient, ...engine.take(gradient) };
}

/** Norm of the difference as a share of the norm. */
export function relativeDistance(values: Float32Array, wanted: Float32Array): number {
  let [difference, norm] = [0, 0];
  wanted.forEach((value, index) => {
    difference += (value - (values[index] ?? NaN)) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(difference / norm);
}

/** Bits, for comparisons in which 0 and -0 differ and NaN equals itself. */
export function bitsOf(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
