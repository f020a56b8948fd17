import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { float32Bytes, pieces } from "./float32Bytes.js";

/**
 * What `status` shows as `parameterDigest`: SHA-256, in hexadecimal, over the tensors in the order of
 * their npz names as little-endian float32. The flat vector has that order already. Other work of
 * the thread, such as an exchange, is let in between the pieces.
 */
export async function parameterDigest(parameters: Float32Array): Promise<string> {
  const hash = createHash("sha256");
  for (const piece of pieces(float32Bytes(parameters))) {
    hash.update(piece);
    await setImmediate();
  }
  return hash.digest("hex");
}
