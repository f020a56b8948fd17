import { assert } from "../job/problem.js";

/**
 * Seeded randomness in plain 32-bit integer arithmetic, so that every machine draws the same. The
 * bits are part of what makes a job repeatable: a change here changes every job's result.
 */

const golden = 0x9e3779b9;

/** A uint32 in which every bit depends on every bit of the numbers (each taken modulo 2^32). */
export function hash32(...numbers: readonly number[]): number {
  return hashAll(numbers);
}

/** The same of numbers in one list. */
export function hashAll(numbers: ArrayLike<number>): number {
  let hash = numbers.length;
  for (let i = 0; i < numbers.length; i += 1) hash = mix32((hash + golden) ^ (numbers[i] ?? 0));
  return hash;
}

/** A bijection of uint32 in which every input bit changes about half of the output bits. */
export function mix32(value: number): number {
  let x = value >>> 0;
  x ^= x >>> 15;
  x = Math.imul(x, 0x2c1b3c6d);
  x ^= x >>> 12;
  x = Math.imul(x, 0x297a2d39);
  return (x ^ (x >>> 15)) >>> 0;
}

/** FNV-1a of the text's UTF-8 bytes, uint32. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** A number from 0 to `n` - 1 from a uint32, for small `n` (the bias is n / 2^32). */
export function scale32(bits: number, n: number): number {
  return Math.floor((bits / 2 ** 32) * n);
}

/** A stream of random numbers that is a function of its seeds: sfc32 by Chris Doty-Humphrey. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(...seeds: readonly number[]) {
    this.#a = hash32(...seeds, 1);
    this.#b = hash32(...seeds, 2);
    this.#c = hash32(...seeds, 3);
    for (let round = 0; round < 12; round += 1) this.uint32();
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** A number in [0, 1) with 53 random bits. */
  float(): number {
    return ((this.uint32() >>> 5) * 2 ** 26 + (this.uint32() >>> 6)) / 2 ** 53;
  }

  /** A whole number from 0 to `n` - 1. */
  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  /**
   * A number in [0, 1] distributed as Beta(a, b), by Jöhnk's rejection method, in logarithms where
   * the powers underflow. Fast for the small parameters of MixUp, slow above about 4.
   */
  beta(a: number, b: number): number {
    assert(a > 0 && a <= 4 && b > 0 && b <= 4, `Beta(${a}, ${b}) outside 0 to 4`);
    for (;;) {
      const logX = Math.log(1 - this.float()) / a;
      const logY = Math.log(1 - this.float()) / b;
      if (Math.exp(logX) + Math.exp(logY) <= 1) return 1 / (1 + Math.exp(logY - logX));
    }
  }

  /** Shuffles in place (Fisher and Yates): every order is equally likely. */
  shuffle(values: Uint32Array): void {
    for (let i = values.length - 1; i > 0; i -= 1) {
      const j = this.below(i + 1);
      const kept = values[i] ?? 0;
      values[i] = values[j] ?? 0;
      values[j] = kept;
    }
  }
}
