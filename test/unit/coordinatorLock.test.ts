import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";

import { CoordinatorLock } from "../../coordinator/lock.js";
import type { Bucket, Entry } from "../../src/link/jetstream.js";

const times = { leaseMs: 200, renewMs: 40 };
let stop: AbortController;

beforeEach(() => {
  stop = new AbortController();
});

afterEach(() => {
  stop.abort();
});

const encode = (lock: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(lock));

/** A bucket of one key whose reads may fail, as those of a NATS that is away. */
class FakeBucket implements Bucket {
  away = false;
  entry: Entry | undefined;
  readonly written: unknown[] = [];

  async keys(): Promise<readonly string[]> {
    return ["coordinator"];
  }

  async read(): Promise<Entry | undefined> {
    if (this.away) throw new Error("no answer");
    return this.entry;
  }

  async write(_key: string, value: Uint8Array, revision: number): Promise<number | undefined> {
    if ((this.entry?.revision ?? 0) !== revision) return undefined;
    this.written.push(JSON.parse(new TextDecoder().decode(value)));
    this.entry = { value, revision: revision + 1 };
    return revision + 1;
  }
}

function acquire(bucket: Bucket, losses: string[] = []): Promise<CoordinatorLock> {
  return CoordinatorLock.acquire(bucket, {
    holder: "me",
    times,
    signal: stop.signal,
    onWait: () => undefined,
    onLost: (reason) => losses.push(reason),
  });
}

test("the time in which NATS did not answer does not count against the holder", async () => {
  const bucket = new FakeBucket();
  bucket.entry = { value: encode({ holder: "other", term: 4 }), revision: 7 };
  const lock = acquire(bucket);
  await sleep(times.leaseMs / 2);
  bucket.away = true;
  await sleep(3 * times.leaseMs);
  bucket.away = false;
  await sleep(times.leaseMs / 2);
  expect(bucket.written).toEqual([]);
  expect((await lock).term).toBe(5);
  expect(bucket.written).toEqual([{ holder: "me", term: 5 }]);
});

test("a holder renews under one term, raises it when asked, and gives it back at the end", async () => {
  const bucket = new FakeBucket();
  const lock = await acquire(bucket);
  await sleep(3 * times.renewMs);
  expect(bucket.written.length).toBeGreaterThan(1);
  expect(await lock.raise(9)).toBe(10);
  expect([lock.term, bucket.written.at(-1)]).toEqual([10, { holder: "me", term: 10 }]);
  expect(await lock.raise(3)).toBe(10);
  await lock.release();
  expect(bucket.written.at(-1)).toEqual({ holder: "", term: 10 });
  const count = bucket.written.length;
  await sleep(3 * times.renewMs);
  expect(bucket.written).toHaveLength(count);
});

test("a holder that was replaced is told once and writes no more, not even when it ends", async () => {
  const bucket = new FakeBucket();
  const losses: string[] = [];
  const lock = await acquire(bucket, losses);
  bucket.entry = { value: encode({ holder: "other", term: 2 }), revision: 99 };
  await sleep(4 * times.renewMs);
  const count = bucket.written.length;
  await lock.release();
  expect(losses).toHaveLength(1);
  expect([bucket.written.length, bucket.entry.revision]).toEqual([count, 99]);
});

test("a lock that is not ours to read stops the start", async () => {
  const bucket = new FakeBucket();
  for (const value of ["{", "null", '{"holder":1,"term":1}', '{"holder":"a","term":1.5}']) {
    bucket.entry = { value: new TextEncoder().encode(value), revision: 1 };
    await expect(acquire(bucket)).rejects.toThrow("holds no lock of Bitfleet's");
  }
});
