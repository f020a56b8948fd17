import { assert } from "../job/problem.js";

/**
 * out = left + right, element by element; `out` may be `left` or `right`. Every addition above
 * the leaves of the summation tree is made here, whoever makes it, so that all ranks get the same
 * bits. JavaScript adds in float64 and rounds once when it stores, which for one addition of two
 * float32 values is the IEEE float32 sum, subnormals included.
 */
export function add(out: Float32Array, left: Float32Array, right: Float32Array): void {
  assert(
    out.length === left.length && left.length === right.length,
    `adding ${left.length} and ${right.length} elements into ${out.length}`,
  );
  for (let i = 0; i < out.length; i += 1) out[i] = (left[i] ?? 0) + (right[i] ?? 0);
}
