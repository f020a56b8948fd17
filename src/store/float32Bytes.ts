import { endianness } from "node:os";
import { assert } from "../job/problem.js";

const pieceBytes = 4 * 2 ** 20;

/** The bytes under the numbers, no copy: IEEE float32, little-endian. */
export function float32Bytes(values: Float32Array): Uint8Array {
  assert(endianness() === "LE", "this machine is not little-endian, which every format here is");
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Hashes and writes take at most 2 GB at once, and other work waits as long as one takes. */
export function* pieces(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let start = 0; start < bytes.length; start += pieceBytes) {
    yield bytes.subarray(start, start + pieceBytes);
  }
}
