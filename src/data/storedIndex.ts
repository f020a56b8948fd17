import { readWhole } from "../store/readWhole.js";
import type { Store } from "../store/store.js";
import { decodeIndex, encodedBytesMax, encodeIndex, type DataIndex } from "./dataIndex.js";

/** Keeps an index in the store under its digest, where every worker finds it. */
export async function storeIndex(store: Store, index: DataIndex): Promise<void> {
  await store.put(nameOf(index.digest), [encodeIndex(index)]);
}

/** Throws FailureError when the store has no such index, WireError when it is not of this digest. */
export async function readIndex(store: Store, digest: string): Promise<DataIndex> {
  return decodeIndex(await readWhole(store, nameOf(digest), encodedBytesMax), digest);
}

function nameOf(digest: string): string {
  return `indexes/${digest}.json`;
}
