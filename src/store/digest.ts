import { createHash } from "node:crypto";
import { float32Bytes, pieces } from "./float32Bytes.js";

/**
 * What `status` shows as `parameterDigest`: SHA-256, in hexadecimal, over the tensors in the order of
 * their npz names as little-endian float32. The flat vector has that order already.
 */
export function parameterDigest(parameters: Float32Array): string {
  const hash = createHash("sha256");
  for (const piece of pieces(float32Bytes(parameters))) hash.update(piece);
  return hash.digest("hex");
}
