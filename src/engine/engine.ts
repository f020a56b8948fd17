import type { Architecture } from "../bit/architecture.js";

/** What an engine is built for; another of these means another engine. */
export interface EngineSpec {
  readonly architecture: Architecture;
  readonly classes: number;
  /** Width and height of the pictures in pixels. */
  readonly side: number;
  /** Examples per call; a shorter micro-batch is filled up with examples of weight 0. */
  readonly microBatch: number;
  /** Whether training mixes each example with a partner (MixUp). */
  readonly mixup: boolean;
  /**
   * "bytes" (the default): pictures are uint8 values. "floats": pictures are the bytes of float32
   * values in [-1, 1], which is what the golden files hold.
   */
  readonly pixels?: "bytes" | "floats";
}

/** One micro-batch: pictures (microBatch, side, side, 3), labels and weights (microBatch). */
export interface Batch {
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  /** 1, or 0 for padding. */
  readonly weights: Float32Array;
}

/** With MixUp every example has a partner, and the whole micro-batch one `lambda`. */
export interface TrainingBatch extends Batch {
  readonly partnerImages?: Uint8Array;
  readonly partnerLabels?: Int32Array;
  /** The share of the example itself, 0 to 1. */
  readonly lambda?: number;
}

export interface Update {
  /** Examples that the sum was taken over. */
  readonly count: number;
  readonly rate: number;
  readonly momentum: number;
  readonly weightDecay: number;
}

export interface ParameterState {
  readonly parameters: Float32Array;
  readonly momentum: Float32Array;
}

/**
 * A BiT model with its parameters, momentum and gradient accumulator on one device. Flat vectors
 * hold the tensors in the order of their npz names. Every call runs to its end on this thread.
 */
export interface Engine {
  /** Elements of a flat vector. */
  readonly parameterCount: number;
  /** Sets parameters and momentum (none means zero) to exactly these bits. */
  write(parameters: Float32Array, momentum: Float32Array | undefined): void;
  read(): ParameterState;
  /** Adds the gradient and the loss of one micro-batch to the accumulator on the device. */
  accumulate(batch: TrainingBatch): void;
  /**
   * Puts the unscaled gradient sum since the last take into `into` and clears the accumulator. It
   * is the gradient for what the model computes with: for a kernel, the standardized one; `apply`
   * carries it on to the parameter, once for the sum of all shards.
   * `lossSum` is the sum of weight * loss; `finite` whether it and every gradient are numbers.
   */
  take(into: Float32Array): { readonly lossSum: number; readonly finite: boolean };
  /**
   * SGD with momentum as PyTorch does it: g = gradient / count + weightDecay w; m = momentum m + g;
   * w = w - rate m. Returns the parameters' checksum after it.
   */
  apply(sum: Float32Array, update: Update): number;
  /** Order-free uint32 of the parameters' bits. */
  parameterChecksum(): number;
  /** Examples of weight 1 whose largest logit is their label's, and the sum of weight * loss. */
  evaluate(batch: Batch): { readonly correct: number; readonly lossSum: number };
  /** Logits (microBatch, classes) in C order. */
  logits(images: Uint8Array): Float32Array;
  /** Gives back the device memory and the files; the engine is unusable afterwards. */
  dispose(): void;
}
