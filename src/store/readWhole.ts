import { FailureError } from "../job/problem.js";
import type { Store } from "./store.js";

/** All bytes of a small file. Throws FailureError past `bytesMax`, or when there is no such name. */
export async function readWhole(
  store: Store,
  name: string,
  bytesMax = Infinity,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of store.get(name)) {
    bytes += part.length;
    if (bytes > bytesMax) throw new FailureError(`${name} is over ${bytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}
