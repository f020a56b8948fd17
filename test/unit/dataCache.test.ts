import { mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { BlobCache } from "../../src/data/blobCache.js";
import { hashOf } from "../../src/data/blobs.js";
import { withFileLock } from "../../src/data/fileLock.js";
import type { Blobs } from "../../src/data/storedSource.js";
import { ConfigError, FailureError } from "../../src/job/problem.js";
import { cacheSetting } from "../../src/process/cacheSetting.js";
import { temporaryFolder } from "./temporaryFolder.js";

const blob = (i: number, bytes = 100): Buffer => Buffer.alloc(bytes, `picture ${i} `);

/** Has every blob that was asked of it, and the order in which it was. */
class Source implements Blobs {
  readonly #blobs = new Map<string, Buffer>();
  readonly asked: string[] = [];

  has(bytes: Buffer): string {
    const sha256 = hashOf(bytes);
    this.#blobs.set(sha256, bytes);
    return sha256;
  }

  async read(sha256: string): Promise<Uint8Array> {
    this.asked.push(sha256);
    const bytes = this.#blobs.get(sha256);
    if (bytes === undefined) throw new FailureError(`no ${sha256}`);
    return bytes;
  }
}

async function cached(bytesMax: number) {
  const folder = await temporaryFolder();
  const source = new Source();
  const open = (): BlobCache => new BlobCache(source, { folder, bytesMax });
  const pathOf = (sha256: string): string => join(folder, "blobs", sha256.slice(0, 2), sha256);
  return { folder, source, open, pathOf, cache: open() };
}

async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && !entry.name.startsWith("."))
      bytes += (await stat(join(entry.parentPath, entry.name))).size;
  return bytes;
}

test("a blob is asked for once, by whichever process comes first", async () => {
  const { source, open, cache } = await cached(1000);
  const sha256 = source.has(blob(1));
  for (const reader of [cache, cache, open()])
    expect(Buffer.from(await reader.read(sha256, 100))).toEqual(blob(1));
  expect(source.asked).toEqual([sha256]);
});

test("a blob whose file was damaged, cut or enlarged is fetched again, and kept again", async () => {
  const { source, cache, pathOf } = await cached(1000);
  const sha256 = source.has(blob(1));
  await cache.read(sha256, 100);
  for (const damaged of [blob(2), blob(1).subarray(1), blob(1, 900), Buffer.alloc(0)]) {
    await writeFile(pathOf(sha256), damaged);
    expect(Buffer.from(await cache.read(sha256, 100))).toEqual(blob(1));
    expect(await readFile(pathOf(sha256))).toEqual(blob(1));
  }
  expect(source.asked).toHaveLength(5);
});

test("never more than the bound is kept, and what was used longest ago goes first", async () => {
  const { folder, source, open, cache, pathOf } = await cached(450);
  const hashes = Array.from({ length: 4 }, (_, i) => source.has(blob(i)));
  for (const [i, sha256] of hashes.entries()) {
    await cache.read(sha256, 100);
    const longAgo = new Date(Date.now() - 1_000_000 + 1000 * i);
    await utimes(pathOf(sha256), longAgo, longAgo);
  }
  expect(await bytesIn(folder)).toBe(400);
  await cache.read(hashes[0] ?? "", 100);
  await open().read(source.has(blob(9)), 100);
  expect(await bytesIn(folder)).toBe(400);
  source.asked.length = 0;
  for (const i of [0, 3, 2]) await cache.read(hashes[i] ?? "", 100);
  expect(source.asked).toEqual([]);
  await cache.read(hashes[1] ?? "", 100);
  expect(source.asked).toEqual([hashes[1]]);
});

test("many readers at once, of several caches on one folder, stay within the bound", async () => {
  const { folder, source, open } = await cached(1_000);
  const hashes = Array.from({ length: 18 }, (_, i) => source.has(blob(i, 100 + i)));
  const looking = new AbortController();
  let most = 0;
  const watch = (async () => {
    while (!looking.signal.aborted) {
      most = Math.max(most, await bytesIn(folder).catch(() => 0));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const caches = [open(), open(), open()];
  await Promise.all(hashes.map(async (sha256, i) => caches[i % 3]?.read(sha256, 100 + i)));
  looking.abort();
  await watch;
  expect(most).toBeLessThanOrEqual(1_000);
  expect(await bytesIn(folder)).toBeGreaterThan(500);
}, 60_000);

test("what a killed process left half written is counted, and goes once it is known to be dead", async () => {
  const { folder, source, cache } = await cached(1000);
  const left = join(folder, "blobs", "ab");
  await mkdir(left, { recursive: true });
  const dead = join(left, ".put-0-1-12345678");
  await writeFile(dead, blob(7, 800));
  await cache.read(source.has(blob(1, 100)), 100);
  await cache.read(source.has(blob(2, 200)), 200);
  // Of these 1,100 bytes one file had to go, and the one that may still be written did not.
  expect((await stat(dead)).size).toBe(800);
  const longAgo = new Date(Date.now() - 7_200_000);
  await utimes(dead, longAgo, longAgo);
  await cache.read(source.has(blob(3, 150)), 150);
  await expect(stat(dead)).rejects.toThrow("ENOENT");
});

test("a blob larger than the bound is read past the cache, and a bound of 0 keeps nothing", async () => {
  const { folder, source, cache } = await cached(50);
  const sha256 = source.has(blob(1));
  expect(Buffer.from(await cache.read(sha256, 100))).toEqual(blob(1));
  expect(await bytesIn(folder)).toBe(0);
  const none = new BlobCache(source, { folder, bytesMax: 0 });
  await none.read(sha256, 100);
  expect(await bytesIn(folder)).toBe(0);
});

test("where nothing can be written, as on a full disk, blobs come straight from the source", async () => {
  const { folder, source, cache } = await cached(1000);
  // A file in the folder's place: whoever runs the test, nothing can be made below it.
  await rm(join(folder, "blobs"), { recursive: true, force: true });
  await writeFile(join(folder, "blobs"), "");
  const sha256 = source.has(blob(1));
  for (let i = 0; i < 3; i += 1)
    expect(Buffer.from(await cache.read(sha256, 100))).toEqual(blob(1));
  expect(source.asked).toHaveLength(3);
});

test("a ledger that says nothing is made anew from what is there", async () => {
  const { folder, source, open } = await cached(350);
  for (let i = 0; i < 3; i += 1) await open().read(source.has(blob(i)), 100);
  for (const spoilt of ["", "12", "-5\n", "many\n"]) {
    await writeFile(join(folder, "blobs", ".bytes"), spoilt);
    await open().read(source.has(blob(10 + spoilt.length)), 100);
    expect(await bytesIn(folder)).toBe(300);
  }
});

test("the failure of the source is the reader's", async () => {
  const { cache } = await cached(1000);
  await expect(cache.read("ab".repeat(32), 100)).rejects.toBeInstanceOf(FailureError);
});

test("a lock is had by one at a time, given up on in time, and taken from the dead", async () => {
  const path = join(await temporaryFolder(), "lock");
  const times = { patienceMs: 5_000, staleMs: 60_000 };
  let inside = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    most = Math.max(most, (inside += 1));
    await new Promise((resolve) => setTimeout(resolve, 5));
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 6 }, () => withFileLock(path, times, work)));
  expect(most).toBe(1);
  await writeFile(path, "");
  const denied = await withFileLock(path, { ...times, patienceMs: 30 }, async () => "had it");
  expect(denied).toBeUndefined();
  const longAgo = new Date(Date.now() - 61_000);
  await utimes(path, longAgo, longAgo);
  expect(await withFileLock(path, times, async () => "had it")).toBe("had it");
  await expect(stat(path)).rejects.toThrow("ENOENT");
});

test("the cache is where it was asked for, else in the user's cache, and there only for a store elsewhere", () => {
  expect(cacheSetting({}, false)).toBeUndefined();
  const given = { BITFLEET_CACHE: "/cache", BITFLEET_CACHE_BYTES: "5000" };
  expect(cacheSetting(given, false)).toEqual({ folder: "/cache", bytesMax: 5000 });
  expect(cacheSetting({ XDG_CACHE_HOME: "/home/a/.cache" }, true)).toEqual({
    folder: "/home/a/.cache/bitfleet/data",
    bytesMax: 10 * 2 ** 30,
  });
  for (const bytes of ["many", "-1", "1.5", "1e9", "9999999999999999"]) {
    const read = (): unknown => cacheSetting({ BITFLEET_CACHE_BYTES: bytes }, true);
    expect(read).toThrow(ConfigError);
    expect(read).toThrow(`BITFLEET_CACHE_BYTES is "${bytes}"`);
  }
});
