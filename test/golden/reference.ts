import { ConfigError } from "../../src/job/problem.js";
import { readFileSync } from "node:fs";

import type { Architecture, TensorSpec } from "../../src/bit/architecture.js";

/**
 * A file of values that the reference implementation computed in float64. Its weights and pictures
 * come from a formula, so that no weight file is needed; see README.md beside this file.
 */
export interface GoldenFile {
  readonly model: string;
  readonly units: readonly [number, number, number, number];
  readonly width: number;
  readonly side: number;
  readonly batch: number;
  readonly classes: number;
  readonly labels: readonly number[];
  readonly learningRate: number;
  readonly momentum: number;
  readonly parameters: number;
  /** Mean loss before each update. */
  readonly losses: readonly number[];
  readonly logits: readonly (readonly number[])[];
  readonly logitsAfter?: readonly (readonly number[])[];
  /** Of the first step. */
  readonly gradients: Readonly<Record<string, TensorValues>>;
  readonly weightsAfter: Readonly<Record<string, TensorValues>>;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

/** What a file says of one tensor, in npz layout. */
export interface TensorValues {
  readonly l2: number;
  readonly sum: number;
  readonly first: readonly number[];
}

export function readGolden(file: string): GoldenFile {
  const refusal = new ConfigError(
    `${file} is no file of reference values: it has no model with units`,
  );
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ConfigError(`${file} cannot be read as reference values`, { cause: error });
  }
  if (typeof value !== "object" || value === null || !("units" in value)) throw refusal;
  // What else the file holds is this command's contract; the comparison fails on anything missing.
  return value as GoldenFile;
}

export function goldenArchitecture({ model, units, width }: GoldenFile): Architecture {
  return { name: model, units, width };
}

/** The flat vector of weights by the formula. */
export function goldenWeights(tensors: readonly TensorSpec[]): Float32Array {
  const last = tensors.at(-1);
  const flat = new Float32Array(last === undefined ? 0 : last.offset + last.size);
  for (const { name, shape, offset, size } of tensors) {
    const seed = fnv1a32(name);
    const [height = 1, width = 1, channelsIn = 1] = shape;
    const limit = Math.sqrt(6 / (height * width * channelsIn));
    for (let i = 0; i < size; i += 1) {
      flat[offset + i] = weight(name, uniform(seed, i), limit);
    }
  }
  return flat;
}

/** `count` pixel values in [-1, 1), already normalised. */
export function goldenImages(count: number): Float32Array {
  const seed = fnv1a32("input");
  return Float32Array.from({ length: count }, (_, i) => 2 * uniform(seed, i) - 1);
}

function weight(name: string, u: number, limit: number): number {
  if (name.endsWith("gamma")) return 1 + 0.2 * (u - 0.5);
  if (name.endsWith("beta") || name.endsWith("bias")) return 0.2 * (u - 0.5);
  if (name.includes("head")) return 0.1 * (u - 0.5);
  return (2 * u - 1) * limit;
}

/** Element `i` of the sequence of `seed`, in [0, 1). */
function uniform(seed: number, i: number): number {
  let x = (Math.imul(i, 2654435761) + seed) >>> 0;
  x ^= x >>> 15;
  x = Math.imul(x, 0x2c1b3c6d);
  x ^= x >>> 12;
  x = Math.imul(x, 0x297a2d39);
  x ^= x >>> 15;
  return (x >>> 0) / 2 ** 32;
}

function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return hash >>> 0;
}
