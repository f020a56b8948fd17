import { Buffer } from "node:buffer";
import type { Store } from "../store/store.js";
import { decodeIndex, encodeIndex, type DataIndex } from "./dataIndex.js";

/** An index's name in the store: what it holds is what its name says. */
export function indexName(digest: string): string {
  return `indexes/${digest}.json`;
}

export async function storeIndex(store: Store, index: DataIndex): Promise<void> {
  await store.put(indexName(index.digest), [encodeIndex(index)]);
}

/** Throws FailureError when it is not there, WireError when it is damaged. */
export async function readIndex(store: Store, digest: string): Promise<DataIndex> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.get(indexName(digest))) chunks.push(chunk);
  return decodeIndex(Buffer.concat(chunks), digest);
}
