import type { TensorSpec } from "../bit/architecture.js";
import { float32Bytes } from "./float32Bytes.js";
import { npyHeader } from "./npyHeader.js";
import { storedZip } from "./zip.js";

/**
 * Weights as BiT publishes them: an npz file with one float32 array per tensor, under its npz name, in
 * the order of `specs`. The same parameters give the same bytes.
 */
export function npzChunks(
  specs: readonly TensorSpec[],
  parameters: Float32Array,
): Iterable<Uint8Array> {
  return storedZip(
    specs.map(({ name, shape, offset, size }) => ({
      name: `${name}.npy`,
      parts: [npyHeader(shape), float32Bytes(parameters.subarray(offset, offset + size))],
    })),
  );
}
