/**
 * The checksum of all parameters: each tensor's bits added up as integers (order-free, so any
 * device may add them in any order), the sums joined by a different odd factor per tensor. `sums`
 * has two's-complement sums modulo 2^32, one per tensor in the order of the flat vector.
 */
export function joinedChecksum(sums: Iterable<number>): number {
  let checksum = 0;
  let factor = 0x9e3779b1; // Odd; the golden ratio's bits, so that neighbours differ everywhere.
  for (const sum of sums) {
    checksum = (checksum + Math.imul(sum, factor)) | 0;
    factor = (factor + 0x7f4a7c16) | 0; // Even, so the factor stays odd.
  }
  return checksum >>> 0;
}

/** The sum of the bits of float32 `values` read as integers, modulo 2^32. */
export function bitSum(values: Float32Array): number {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length);
  let sum = 0;
  for (const word of bits) sum = (sum + word) | 0;
  return sum;
}
