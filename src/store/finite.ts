import { setImmediate } from "node:timers/promises";
import type { TensorSpec } from "../bit/architecture.js";
import { FailureError } from "../job/problem.js";

/** A state that has come to hold NaN or infinity. */
export class NonFiniteError extends FailureError {}

/**
 * Throws NonFiniteError that names the first tensor with a number that is not finite. Other work of
 * the thread is let in between the tensors.
 */
export async function checkFinite(
  what: string,
  specs: readonly TensorSpec[],
  flat: Float32Array,
): Promise<void> {
  for (const { name, offset, size } of specs) {
    const bad = firstNonFinite(flat.subarray(offset, offset + size));
    if (bad < 0) {
      await setImmediate();
      continue;
    }
    throw new NonFiniteError(`${what}: ${name} has ${flat[offset + bad] ?? 0} at ${bad}`);
  }
}

/** Where the first NaN or infinity is, -1 when there is none. A loop: a callback per number is slow. */
export function firstNonFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) return i;
  }
  return -1;
}
