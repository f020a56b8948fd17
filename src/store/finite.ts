/** Where the first NaN or infinity is, -1 when there is none. A loop: a callback per number is slow. */
export function firstNonFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) return i;
  }
  return -1;
}
