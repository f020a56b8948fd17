import type { Item } from "./childPlace.js";

/** What makes a worker's numbers wrong: each happens once and is told of, or goes on for ever. */
export class Spoils {
  /** Of the next shard that somebody compares, or of any. */
  shard: "wrong" | "not finite" | undefined;
  /** All that it counts in evaluations, as long as its process lives; or examples that are not there. */
  evaluation: "wrong" | "impossible" | undefined;
  #evaluated = 0;
  /** The next finished sum, as this worker has it. */
  sum = false;
  /** How many exchange now: with nobody else there is nothing to compare a sum with. */
  ranks = 0;
  /** Goes on with it. */
  always = false;
  readonly #tell: (line: string) => void;

  constructor(tell: (line: string) => void) {
    this.#tell = tell;
  }

  /** Spoils a gradient, and says what of it. */
  gradient(
    values: Float32Array,
    { step, shard }: Item,
    isCompared: boolean,
  ): { readonly finite: boolean } {
    const spoil = this.shard;
    if (spoil === undefined || (spoil === "wrong" && !isCompared)) return { finite: true };
    if (!this.always) this.shard = undefined;
    this.#tell(`shard ${shard} of step ${step} comes out ${spoil}`);
    values[0] = spoil === "wrong" ? (values[0] ?? 0) + 1 : NaN;
    return { finite: spoil === "wrong" };
  }

  /** Spoils what came of a shard of an evaluation, each time another way: no computation repeats it. */
  evaluated<Result extends { readonly count: number; readonly correct: number }>(
    result: Result,
    { step, shard }: Item,
  ): Result {
    if (this.evaluation === undefined) return result;
    this.#tell(`shard ${shard} of the evaluation of step ${step} comes out ${this.evaluation}`);
    if (this.evaluation === "impossible") {
      this.evaluation = undefined;
      return { ...result, count: result.count + 1, correct: result.count + 1 };
    }
    this.#evaluated += 1;
    return { ...result, correct: (result.correct + this.#evaluated) % (result.count + 1) };
  }

  /** The sum as this worker has it. */
  copyOf(sum: Float32Array, what: string): Float32Array {
    if (!this.sum || this.ranks < 2) return sum;
    if (!this.always) this.sum = false;
    this.#tell(`${what} comes out wrong`);
    const copy = sum.slice();
    flipBit(copy);
    return copy;
  }
}

export function flipBit(values: Float32Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, 1);
  bits[0] = (bits[0] ?? 0) ^ (1 << 12);
}
