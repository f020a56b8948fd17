import { byClass, shuffled } from "./subset.js";

/** Indices into the examples, ascending; together each exactly once. */
export interface Split {
  readonly training: readonly number[];
  readonly validation: readonly number[];
}

/**
 * Sets a fraction of every class aside for validation, drawn by the seed. A class always keeps an
 * example to train on, and one with two or more gives at least one (unless the fraction is 0).
 */
export function splitForValidation(
  labels: ArrayLike<number>,
  classCount: number,
  fraction: number,
  seed: number,
): Split {
  const training: number[] = [];
  const validation: number[] = [];
  for (const [label, own] of byClass(labels, classCount).entries()) {
    const wanted = fraction === 0 ? 0 : Math.max(1, Math.round(fraction * own.length));
    const count = Math.max(0, Math.min(wanted, own.length - 1));
    const order = shuffled(own, seed, "split", label);
    for (const example of order.subarray(0, count)) validation.push(example);
    for (const example of order.subarray(count)) training.push(example);
  }
  const ascending = (a: number, b: number): number => a - b;
  return { training: training.toSorted(ascending), validation: validation.toSorted(ascending) };
}
