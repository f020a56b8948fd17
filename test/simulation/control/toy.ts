import { hash32, hashAll } from "../../../src/plan/random.js";
import { TreeFold } from "../../../src/plan/fold.js";

/**
 * Training in eight numbers: gradients depend on seed, step, shard and parameters, and span enough
 * magnitudes that another order of addition gives other bits. Behind them a gradient counts, for
 * every shard, how often its examples went in.
 */
export interface Toy {
  readonly seed: number;
  readonly shards: number;
  readonly shardSize: number;
  readonly steps: number;
}

export interface ToyState {
  readonly parameters: Float32Array;
  readonly momentum: Float32Array;
}

const width = 8;

export function elementsOf(toy: Toy): number {
  return width + toy.shards;
}

export function initialState(toy: Toy): ToyState {
  const parameters = new Float32Array(elementsOf(toy));
  for (let i = 0; i < width; i += 1) parameters[i] = hash32(toy.seed, 1, i) / 2 ** 32;
  return { parameters, momentum: new Float32Array(elementsOf(toy)) };
}

export function gradient(
  toy: Toy,
  { parameters }: ToyState,
  step: number,
  shard: number,
): Float32Array {
  const values = new Float32Array(elementsOf(toy));
  for (let i = 0; i < width; i += 1) {
    const bits = hash32(toy.seed, step, shard, i);
    values[i] = (bits / 2 ** 32 - 0.5) * 2 ** (bits % 12) + 0.1 * (parameters[i] ?? 0);
  }
  values[width + shard] = toy.shardSize;
  return values;
}

export function lossOf(toy: Toy, { parameters }: ToyState, step: number, shard: number): number {
  const bits = hash32(toy.seed, step, shard, 99);
  return Math.fround((bits / 2 ** 32) * 2 ** (bits % 9) + Math.abs(parameters[0] ?? 0));
}

export function correctOf(
  toy: Toy,
  { parameters }: ToyState,
  shard: number,
  count: number,
): number {
  return hash32(toy.seed, shard, Math.round(1e6 * (parameters[1] ?? 0))) % (count + 1);
}

export function apply(toy: Toy, state: ToyState, sum: Float32Array): ToyState {
  const parameters = new Float32Array(state.parameters);
  const momentum = new Float32Array(state.momentum);
  for (let i = 0; i < width; i += 1) {
    momentum[i] = 0.9 * (momentum[i] ?? 0) + (sum[i] ?? 0) / (toy.shards * toy.shardSize);
    parameters[i] = (parameters[i] ?? 0) - 0.01 * (momentum[i] ?? 0);
  }
  return { parameters, momentum };
}

export function checksumOf(values: Float32Array): number {
  return hashAll(new Uint32Array(values.buffer, values.byteOffset, values.length));
}

/** Times each shard went into a sum. */
export function usesOf(toy: Toy, sum: Float32Array): readonly number[] {
  return Array.from(sum.subarray(width), (value) => value / toy.shardSize);
}

export interface Reference {
  /** By steps applied. */
  readonly states: readonly ToyState[];
  readonly checksums: readonly StateChecksums[];
  /** By step. */
  readonly sums: readonly number[];
  readonly losses: readonly number[];
}

interface StateChecksums {
  readonly parameters: number;
  readonly momentum: number;
}

/** The whole job on one worker, in plain code. */
export function reference(toy: Toy): Reference {
  const states = [initialState(toy)];
  const sums: number[] = [];
  const losses: number[] = [];
  for (let step = 0; step < toy.steps; step += 1) {
    const state = states[step] ?? initialState(toy);
    const fold = new TreeFold<Float32Array>(toy.shards, (a, b) =>
      a.map((value, i) => value + (b[i] ?? 0)),
    );
    const loss = new TreeFold<number>(toy.shards, (a, b) => Math.fround(a + b));
    for (let shard = 0; shard < toy.shards; shard += 1) {
      fold.put({ first: shard, end: shard + 1 }, gradient(toy, state, step, shard));
      loss.put({ first: shard, end: shard + 1 }, lossOf(toy, state, step, shard));
    }
    const sum = fold.total ?? new Float32Array();
    sums.push(checksumOf(sum));
    losses.push((loss.total ?? 0) / (toy.shards * toy.shardSize));
    states.push(apply(toy, state, sum));
  }
  const checksums = states.map(({ parameters, momentum }) => ({
    parameters: checksumOf(parameters),
    momentum: checksumOf(momentum),
  }));
  return { states, checksums, sums, losses };
}
