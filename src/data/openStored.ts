import { cacheSetting } from "../process/cacheSetting.js";
import type { Variables } from "../process/variables.js";
import { isS3 } from "../store/s3Address.js";
import type { Store } from "../store/store.js";
import { BlobCache } from "./blobCache.js";
import { readBlob } from "./blobs.js";
import type { Blobs, StoredData } from "./storedSource.js";

/** The data sets of a store, read by way of this machine's cache. `address` is the store's. */
export function openStored(store: Store, address: string, variables: Variables): StoredData {
  const blobs = blobsOf(store);
  const setting = cacheSetting(variables, isS3(address));
  return { store, blobs: setting === undefined ? blobs : new BlobCache(blobs, setting) };
}

/** Straight from the store. */
export function blobsOf(store: Store): Blobs {
  return { read: (sha256, bytesMax) => readBlob(store, sha256, bytesMax) };
}
