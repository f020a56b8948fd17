import type { Store } from "../store/store.js";
import { decodeIndex, encodedBytesMax, encodeIndex, type DataIndex } from "./dataIndex.js";
import { FailureError } from "../job/problem.js";

/** Keeps an index in the store under its digest, where every worker finds it. */
export async function storeIndex(store: Store, index: DataIndex): Promise<void> {
  await store.put(nameOf(index.digest), [encodeIndex(index)]);
}

/** Throws FailureError when the store has no such index, WireError when it is not of this digest. */
export async function readIndex(store: Store, digest: string): Promise<DataIndex> {
  const name = nameOf(digest);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of store.get(name)) {
    bytes += part.length;
    if (bytes > encodedBytesMax) throw new FailureError(`${name} is over ${encodedBytesMax} bytes`);
    parts.push(part);
  }
  return decodeIndex(Buffer.concat(parts), digest);
}

function nameOf(digest: string): string {
  return `indexes/${digest}.json`;
}
