import { architecture } from "../src/bit/architecture.js";
import type { Engine } from "../src/engine/engine.js";
import { createEngine } from "../src/engine/recordedEngine.js";
import { loadTensorFlow, type TensorFlow } from "../src/engine/tensorflow.js";
import { assert } from "../src/job/problem.js";
import { computeFaults } from "./computeFaults.js";
import { serve } from "./thread.js";

/**
 * Owns TensorFlow and the device. Its calls block this thread for as long as they compute, so they
 * are answered in the order in which they were made: what is applied first is read first.
 */

/** One batch as the engine takes it, of any size: it is cut into micro-batches here. */
export interface Batch {
  /** (n, side, side, 3) uint8. */
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  readonly partnerImages?: Uint8Array;
  readonly partnerLabels?: Int32Array;
}

/** Loaded into this process once. */
let tensorflow: Promise<TensorFlow> | undefined;
let engine: Engine | undefined;
/** What the parameters were when they were last written; undefined before. */
let written: number | undefined;
let shape = { side: 0, microBatch: 0, mixup: false };

const calls = {
  /** Takes the device. May come long before the order: it is most of what `build` would take. */
  load: async (): Promise<void> => {
    await (tensorflow ??= loadTensorFlow());
  },

  build: async (request: {
    readonly model: string;
    readonly classes: number;
    readonly side: number;
    readonly microBatch: number;
    readonly mixup: boolean;
    readonly scratch: string;
  }): Promise<{ readonly parameterCount: number }> => {
    const tf = await (tensorflow ??= loadTensorFlow());
    const { model, scratch, ...rest } = request;
    engine = createEngine(tf, { architecture: architecture(model), ...rest }, scratch);
    shape = request;
    return { parameterCount: engine.parameterCount };
  },

  /** Takes a state; without momentum it begins at zero. Answers with the parameters' checksum. */
  write: (state: {
    readonly parameters: Float32Array;
    readonly momentum: Float32Array | undefined;
  }): number => {
    built().write(state.parameters, state.momentum);
    return (written = built().parameterChecksum());
  },

  /** Copies the state into shared memory. */
  read: (into: { readonly parameters: Float32Array; readonly momentum: Float32Array }): void => {
    checkUnchanged();
    const { parameters, momentum } = built().read();
    into.parameters.set(parameters);
    into.momentum.set(momentum);
  },

  /**
   * The unscaled gradient sum of one shard, into shared memory. Behind the last one of a list the
   * parameters are looked at again: what they were before is known.
   */
  shard: (request: {
    readonly batch: Batch;
    readonly lambda: number;
    readonly into: Float32Array;
    readonly isLast: boolean;
  }): {
    readonly loss: number;
    readonly finite: boolean;
    readonly parameterChecksum: number | undefined;
    readonly computeMs: number;
  } => {
    const started = performance.now();
    for (const part of microBatches(request.batch)) {
      built().accumulate(shape.mixup ? { ...part, lambda: request.lambda } : part);
    }
    const { lossSum, finite } = built().take(request.into);
    return {
      loss: lossSum,
      finite,
      parameterChecksum: request.isLast ? built().parameterChecksum() : undefined,
      computeMs: performance.now() - started,
    };
  },

  apply: (request: {
    readonly sum: Float32Array;
    readonly count: number;
    readonly rate: number;
    readonly momentum: number;
    readonly weightDecay: number;
  }): number => {
    checkUnchanged();
    return (written = built().apply(request.sum, request));
  },

  evaluate: (request: {
    readonly batch: Batch;
    readonly isLast: boolean;
  }): {
    readonly correct: number;
    readonly loss: number;
    readonly parameterChecksum: number | undefined;
    readonly computeMs: number;
  } => {
    const started = performance.now();
    let correct = 0;
    let loss = 0;
    for (const part of microBatches(request.batch)) {
      const result = built().evaluate(part);
      correct += result.correct;
      loss = Math.fround(loss + result.lossSum);
    }
    const parameterChecksum = request.isLast ? built().parameterChecksum() : undefined;
    return { correct, loss, parameterChecksum, computeMs: performance.now() - started };
  },

  ...computeFaults,
};

export type ComputeCalls = typeof calls;

/** Memory breaks now and then; what it did to the parameters must not be built on, kept or copied. */
function checkUnchanged(): void {
  if (written === undefined) return;
  const now = built().parameterChecksum();
  if (now === written) return;
  throw new Error(
    `its parameters changed in memory by themselves: their checksum was ${written} and is ${now}`,
  );
}

function built(): Engine {
  assert(engine !== undefined, "the engine is used before it is built");
  return engine;
}

/** Cuts a batch into the engine's fixed size; what is missing in the last one has weight 0. */
function* microBatches(batch: Batch): Generator<Batch & { readonly weights: Float32Array }> {
  const { microBatch, side } = shape;
  const pictureBytes = side * side * 3;
  const count = batch.labels.length;
  for (let first = 0; first < count; first += microBatch) {
    const size = Math.min(microBatch, count - first);
    const bytes = (all: Uint8Array): Uint8Array =>
      padded(
        all.subarray(first * pictureBytes, (first + size) * pictureBytes),
        microBatch * pictureBytes,
      );
    const numbers = (all: Int32Array): Int32Array => {
      const part = new Int32Array(microBatch);
      part.set(all.subarray(first, first + size));
      return part;
    };
    yield {
      images: bytes(batch.images),
      labels: numbers(batch.labels),
      weights: new Float32Array(microBatch).fill(1, 0, size),
      // A micro-batch in which nobody has a partner is mixed with itself, which changes nothing.
      ...(shape.mixup && {
        partnerImages: bytes(batch.partnerImages ?? batch.images),
        partnerLabels: numbers(batch.partnerLabels ?? batch.labels),
      }),
    };
  }
}

function padded(part: Uint8Array, length: number): Uint8Array {
  if (part.length === length) return part;
  const whole = new Uint8Array(length);
  whole.set(part);
  return whole;
}

serve(calls);
