import { ConfigError } from "../job/problem.js";
import { fnv1a32, Random } from "./random.js";

/**
 * The few-shot selection: `k` examples of every class, drawn by the seed, as indices into `labels`
 * in ascending order. Throws a ConfigError that names the first class with fewer.
 */
export function examplesPerClass(
  labels: ArrayLike<number>,
  classes: readonly string[],
  k: number,
  seed: number,
): readonly number[] {
  return byClass(labels, classes.length)
    .flatMap((own, label) => {
      if (own.length < k) {
        throw new ConfigError(
          `examples-per-class ${k} is more than class "${classes[label] ?? ""}" has: ${own.length}`,
        );
      }
      return [...shuffled(own, seed, "subset", label).subarray(0, k)];
    })
    .toSorted((a, b) => a - b);
}

/** The indices of each class's examples, ascending. */
export function byClass(
  labels: ArrayLike<number>,
  classCount: number,
): readonly (readonly number[])[] {
  const groups = Array.from({ length: classCount }, (): number[] => []);
  for (let i = 0; i < labels.length; i += 1) groups[labels[i] ?? -1]?.push(i);
  return groups;
}

/** One class's examples in an order drawn for `use`. */
export function shuffled(
  own: readonly number[],
  seed: number,
  use: string,
  label: number,
): Uint32Array {
  const order = Uint32Array.from(own);
  new Random(seed, fnv1a32(use), label).shuffle(order);
  return order;
}
