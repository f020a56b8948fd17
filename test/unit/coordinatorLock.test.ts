import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";

import { CoordinatorLock, type LockOptions } from "../../coordinator/lock.js";
import type { Bucket, Entry } from "../../src/link/jetstream.js";
import { MemoryTerms } from "../support/termBook.js";

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
    this.entry = { value, revision: revision + 1, isOurs: true };
    return revision + 1;
  }
}

function acquire(
  bucket: Bucket,
  losses: string[] = [],
  more: Partial<LockOptions> = {},
): Promise<CoordinatorLock> {
  return CoordinatorLock.acquire(bucket, {
    holder: "me",
    identity: "my process",
    isGone: () => false,
    terms: new MemoryTerms(),
    times,
    signal: stop.signal,
    onWait: () => undefined,
    onLost: (reason) => losses.push(reason),
    ...more,
  });
}

test("the time in which NATS did not answer does not count against the holder", async () => {
  const bucket = new FakeBucket();
  bucket.entry = { value: encode({ holder: "other", term: 4 }), revision: 7, isOurs: false };
  const lock = acquire(bucket);
  await sleep(times.leaseMs / 2);
  bucket.away = true;
  await sleep(3 * times.leaseMs);
  bucket.away = false;
  await sleep(times.leaseMs / 2);
  expect(bucket.written).toEqual([]);
  expect((await lock).term).toBe(5);
  expect(bucket.written).toEqual([{ holder: "me", term: 5, identity: "my process" }]);
});

test("a holder renews under one term, raises it when asked, and gives it back at the end", async () => {
  const bucket = new FakeBucket();
  const lock = await acquire(bucket);
  await sleep(3 * times.renewMs);
  expect(bucket.written.length).toBeGreaterThan(1);
  expect(await lock.raise(9)).toEqual({ term: 10 });
  expect([lock.term, bucket.written.at(-1)]).toEqual([
    10,
    { holder: "me", term: 10, identity: "my process" },
  ]);
  expect(await lock.raise(3)).toEqual({ term: 10 });
  await lock.release();
  expect(bucket.written.at(-1)).toEqual({ holder: "", term: 10, identity: "" });
  const count = bucket.written.length;
  await sleep(3 * times.renewMs);
  expect(bucket.written).toHaveLength(count);
});

test("a holder that was replaced is told once and writes no more, not even when it ends", async () => {
  const bucket = new FakeBucket();
  const losses: string[] = [];
  const lock = await acquire(bucket, losses);
  bucket.entry = { value: encode({ holder: "other", term: 2 }), revision: 99, isOurs: false };
  await sleep(4 * times.renewMs);
  const count = bucket.written.length;
  await lock.release();
  expect(losses).toHaveLength(1);
  expect([bucket.written.length, bucket.entry.revision]).toEqual([count, 99]);
});

test("a lock that is not ours to read stops the start", async () => {
  const bucket = new FakeBucket();
  const terms = ["1.5", "-1", String(2 ** 31 - 1)].map((term) => `{"holder":"a","term":${term}}`);
  for (const value of ["{", "null", '{"holder":1,"term":1}', ...terms]) {
    bucket.entry = { value: new TextEncoder().encode(value), revision: 1, isOurs: false };
    await expect(acquire(bucket)).rejects.toThrow("holds no lock of Bitfleet's");
  }
});

test("a holder whose process has ended is replaced at once, one that only stands still after the lease", async () => {
  const bucket = new FakeBucket();
  const other = { holder: "other", term: 4, identity: "theirs" };
  for (const [gone, least, most] of [
    ["theirs", 0, times.leaseMs / 2],
    ["mine", times.leaseMs, 10 * times.leaseMs],
  ] as const) {
    bucket.entry = { value: encode(other), revision: 7, isOurs: false };
    const begunMs = performance.now();
    const lock = await acquire(bucket, [], { isGone: (identity) => identity === gone });
    expect(lock.term).toBe(5);
    expect(performance.now() - begunMs).toBeGreaterThanOrEqual(least);
    expect(performance.now() - begunMs).toBeLessThan(most);
  }
});

test("a first lock is one above what is known from elsewhere", async () => {
  expect((await acquire(new FakeBucket(), [], { terms: new MemoryTerms(41) })).term).toBe(42);
});

test("a lock that is missing is written again by its holder, under its term, and costs nobody the office", async () => {
  const bucket = new FakeBucket();
  bucket.entry = { value: encode({ holder: "", term: 6 }), revision: 9, isOurs: false };
  const losses: string[] = [];
  const lock = await acquire(bucket, losses);
  bucket.entry = undefined;
  await sleep(4 * times.renewMs);
  expect(bucket.written.at(-1)).toEqual({ holder: "me", term: 7, identity: "my process" });
  await lock.release();
  expect(losses).toEqual([]);
});

test("a lock that is missing is not written again by a holder that another had replaced before", async () => {
  const bucket = new FakeBucket();
  const losses: string[] = [];
  const terms = new MemoryTerms();
  const lock = await acquire(bucket, losses, { terms });
  bucket.entry = undefined;
  terms.known = 2;
  expect(await lock.confirm()).toBe(false);
  expect(bucket.entry).toBeUndefined();
  expect(losses).toEqual(["another coordinator has taken over after term 1"]);
});

test("whoever takes a lock of a term before one that is known from elsewhere is above both", async () => {
  const bucket = new FakeBucket();
  bucket.entry = { value: encode({ holder: "", term: 1 }), revision: 7, isOurs: false };
  const lock = await acquire(bucket, [], { terms: new MemoryTerms(2) });
  expect(lock.term).toBe(3);
});

test("a standby leaves a lock that has gone missing to its holder for the length of the lease", async () => {
  const bucket = new FakeBucket();
  bucket.entry = { value: encode({ holder: "other", term: 4 }), revision: 7, isOurs: false };
  const lock = acquire(bucket);
  await sleep(times.leaseMs / 2);
  bucket.entry = undefined;
  await sleep(times.leaseMs / 2);
  expect(bucket.written).toEqual([]);
  expect((await lock).term).toBe(5);
});

test("whoever asks hears of a renewal that began after the question", async () => {
  const bucket = new FakeBucket();
  const lock = await acquire(bucket, [], { times: { leaseMs: 60_000, renewMs: 30_000 } });
  const before = bucket.written.length;
  expect(await Promise.all([lock.confirm(), lock.confirm()])).toEqual([true, true]);
  expect(bucket.written.length).toBeGreaterThan(before);
});

test("whoever asks hears that another has taken over, and so does everybody after", async () => {
  const bucket = new FakeBucket();
  const losses: string[] = [];
  const lock = await acquire(bucket, losses, { times: { leaseMs: 60_000, renewMs: 30_000 } });
  bucket.entry = { value: encode({ holder: "other", term: 9 }), revision: 99, isOurs: false };
  expect(await lock.confirm()).toBe(false);
  expect(await lock.confirm()).toBe(false);
  expect(losses).toHaveLength(1);
});

test("whoever asks a coordinator that is ending hears at once that the lock is not to be counted on", async () => {
  const lock = await acquire(new FakeBucket());
  stop.abort();
  await sleep(20);
  expect(await lock.confirm()).toBe(false);
});

test("the lock tells a raised term only once NATS has it", async () => {
  const bucket = new FakeBucket();
  const lock = await acquire(bucket);
  const raised = lock.raise(9);
  expect(lock.term).toBe(1);
  await raised;
  expect(lock.term).toBe(10);
});

test("one that cannot give the lock back stops trying after a lease by its own clock", async () => {
  const bucket = new FakeBucket();
  const sleeping = new Map<number, () => void>();
  const untilAborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true });
    });
  const clock = {
    nowMs: () => 0,
    sleep: (ms: number, signal: AbortSignal): Promise<void> => {
      const slept = new Promise<void>((resolve) => sleeping.set(ms, resolve));
      return Promise.race([slept, untilAborted(signal)]);
    },
  };
  const lock = await acquire(bucket, [], { clock });
  const away = Object.assign(bucket, {
    write: (_key: string, _value: Uint8Array, _revision: number, signal: AbortSignal) =>
      untilAborted(signal),
  });
  expect(away.written).toHaveLength(1);
  const released = lock.release().then(
    () => "given back",
    () => "given up",
  );
  expect(await Promise.race([released, sleep(2 * times.leaseMs, "waiting")])).toBe("waiting");
  sleeping.get(times.leaseMs)?.();
  expect(await released).toBe("given up");
});

test("a term of which neither lock nor store know is believed a little way, and not again and again", async () => {
  const terms = new MemoryTerms(40);
  const lock = await acquire(new FakeBucket(), [], { terms });
  expect(lock.term).toBe(41);
  for (const seen of [1_042, 2 ** 30, 2 ** 31 - 1])
    expect(await lock.raise(seen)).toEqual({
      refusal: `it said that it has obeyed term ${seen}; the highest known is 41, and at most 1041 is believed`,
    });
  expect(await lock.raise(1_041)).toEqual({ term: 1_042 });
  expect(await lock.raise(1_043)).toEqual({ term: 1_044 });
  expect(await lock.raise(1_045)).toEqual({ term: 1_046 });
  expect(await lock.raise(1_047)).toMatchObject({ refusal: /3 terms of which only workers knew/ });
  // One that the store tells of was real.
  terms.known = 3_000;
  expect(await lock.raise(3_000)).toEqual({ term: 3_001 });
  expect([lock.term, [...terms.claimed].at(-1)]).toEqual([3_001, 3_001]);
});

test("no two have one term, also where NATS has lost the lock and nothing else is known yet", async () => {
  const terms = new MemoryTerms();
  const first = await acquire(new FakeBucket(), [], { terms });
  const second = await acquire(new FakeBucket(), [], { terms });
  expect([first.term, second.term]).toEqual([1, 2]);
  expect(await first.raise(1)).toEqual({ term: 3 });
});

test("a term that was claimed in vain is given back", async () => {
  const terms = new MemoryTerms();
  const bucket = new FakeBucket();
  const other = { value: encode({ holder: "other", term: 4 }), revision: 7, isOurs: false };
  terms.claim = async (term) => {
    terms.claimed.add(term);
    // Another is faster.
    if (bucket.entry === undefined) bucket.entry = other;
    return true;
  };
  const lock = acquire(bucket, [], { terms });
  await sleep(times.leaseMs / 2);
  expect([...terms.claimed]).toEqual([]);
  expect((await lock).term).toBe(5);
});
