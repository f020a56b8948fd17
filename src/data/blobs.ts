import { createHash } from "node:crypto";
import { ConfigError, FailureError } from "../job/problem.js";
import { mapBounded } from "./bounded.js";
import { readWhole } from "../store/readWhole.js";
import { blobsPrefix, type Chunks, type Store } from "../store/store.js";

/**
 * Pushed pictures, and the pages that list them, are blobs: files of the store that are named by the SHA-256 of their bytes.
 * The same picture is there once, whatever data sets hold it, and a blob that is there is whole.
 */

const sha256Pattern = /^[0-9a-f]{64}$/;

export function isSha256(text: unknown): text is string {
  return typeof text === "string" && sha256Pattern.test(text);
}

export function blobName(sha256: string): string {
  return `${blobsPrefix}${sha256.slice(0, 2)}/${sha256}`;
}

/** The hash that a name in the store stands for; undefined where it is no blob's. */
export function blobOf(name: string): string | undefined {
  const sha256 = name.slice(name.lastIndexOf("/") + 1);
  return isSha256(sha256) && name === blobName(sha256) ? sha256 : undefined;
}

/**
 * Stores a blob, which nobody sees before all of its bytes are there and have the hash. ConfigError: they have another size
 * or hash. One that is there already is left alone.
 */
export async function putBlob(
  store: Store,
  { sha256, bytes }: { readonly sha256: string; readonly bytes: number },
  chunks: Chunks,
): Promise<void> {
  await store.putNew(blobName(sha256), checked(chunks, sha256, bytes));
}

/** Gives the chunks on, and throws in place of the end where they are not what was said. */
async function* checked(
  chunks: Chunks,
  sha256: string,
  bytesSaid: number,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > bytesSaid)
      throw new ConfigError(`blob ${sha256} has more than the ${bytesSaid} bytes that were said`);
    hash.update(chunk);
    yield chunk;
  }
  if (bytes !== bytesSaid)
    throw new ConfigError(`blob ${sha256} has ${bytes} bytes, and ${bytesSaid} were said`);
  const found = hash.digest("hex");
  if (found !== sha256) throw new ConfigError(`blob ${sha256} has the SHA-256 ${found}`);
}

/** All bytes of a blob. FailureError: it is not there, over `bytesMax`, or damaged. */
export async function readBlob(
  store: Store,
  sha256: string,
  bytesMax: number,
): Promise<Uint8Array> {
  const bytes = await readWhole(store, blobName(sha256), bytesMax);
  if (hashOf(bytes) === sha256) return bytes;
  throw new FailureError(`${blobName(sha256)} is damaged: its bytes have another SHA-256`);
}

export function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** From so many of one folder on, listing it is cheaper than asking for each. */
const listedFrom = 32;
const atOnce = 16;

/** Which of them the store lacks, each once. */
export async function missingBlobs(
  store: Store,
  hashes: Iterable<string>,
): Promise<readonly string[]> {
  const folders = new Map<string, Set<string>>();
  for (const sha256 of hashes) {
    const folder = sha256.slice(0, 2);
    const own = folders.get(folder) ?? new Set();
    folders.set(folder, own.add(sha256));
  }
  const missing = await mapBounded([...folders], atOnce, async ([folder, own]) => {
    if (own.size < listedFrom) return missingOneByOne(store, [...own]);
    for (const name of await store.list(`${blobsPrefix}${folder}/`)) own.delete(blobOf(name) ?? "");
    return [...own];
  });
  return missing.flat();
}

async function missingOneByOne(
  store: Store,
  hashes: readonly string[],
): Promise<readonly string[]> {
  const missing: string[] = [];
  for (const sha256 of hashes)
    if ((await store.stat(blobName(sha256))) === undefined) missing.push(sha256);
  return missing;
}
