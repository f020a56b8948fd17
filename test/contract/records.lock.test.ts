import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { CoordinatorLock } from "../../coordinator/lock.js";
import { MemoryTerms } from "../support/termBook.js";
import { eachWithRecordStores, type RecordStores } from "./recordStores.js";

const times = { leaseMs: 800, renewMs: 200 };
let stores: RecordStores;
eachWithRecordStores((own) => {
  stores = own;
});

interface Contender {
  readonly lock: Promise<CoordinatorLock>;
  readonly waits: string[];
  readonly losses: string[];
  readonly crash: () => void;
}

/** A coordinator that wants the lock, over a connection of its own. */
async function contend(holder: string): Promise<Contender> {
  const store = await stores.open();
  const crash = new AbortController();
  const waits: string[] = [];
  const losses: string[] = [];
  const lock = CoordinatorLock.acquire(store.lock, {
    holder,
    identity: "",
    isGone: () => false,
    terms: new MemoryTerms(),
    times,
    signal: AbortSignal.any([stores.stop.signal, crash.signal]),
    onWait: (other, term) => waits.push(`${other} in term ${term}`),
    onLost: (reason) => losses.push(reason),
  });
  lock.catch(() => undefined);
  return { lock, waits, losses, crash: () => crash.abort() };
}

test("a standby waits while the holder renews, says for whom, and takes over within the lease when it crashes", async () => {
  const first = await contend("first");
  expect((await first.lock).term).toBe(1);
  const second = await contend("second");
  let taken = false;
  void second.lock.then(() => (taken = true));
  await sleep(3 * times.leaseMs);
  expect(taken).toBe(false);
  expect(second.waits).toEqual(["first in term 1"]);
  first.crash();
  const crashedMs = performance.now();
  expect((await second.lock).term).toBe(2);
  expect(performance.now() - crashedMs).toBeLessThan(times.leaseMs + 1000);
});

test("a lock that was given back is taken at once, under a higher term", async () => {
  const first = await contend("first");
  await (await first.lock).release();
  const releasedMs = performance.now();
  const second = await contend("second");
  expect((await second.lock).term).toBe(2);
  expect(performance.now() - releasedMs).toBeLessThan(times.leaseMs);
  expect(second.waits).toEqual([]);
  expect(first.losses).toEqual([]);
});

test("of many standbys exactly one takes over, and the terms only grow", async () => {
  const first = await contend("first");
  await first.lock;
  const others = await Promise.all(["a", "b", "c", "d"].map((name) => contend(name)));
  await sleep(times.renewMs);
  first.crash();
  const winner = await Promise.race(others.map(({ lock }) => lock));
  expect(winner.term).toBe(2);
  const states = await Promise.all(
    others.map(({ lock }) => Promise.race([lock.then(() => 1), sleep(3 * times.leaseMs, 0)])),
  );
  expect(states.reduce((sum, taken) => sum + taken, 0)).toBe(1);
});

test("a holder that was replaced learns it from its next renewal", async () => {
  const first = await contend("first");
  await first.lock;
  const store = await stores.open();
  const entry = await store.lock.read("coordinator");
  const usurper = new TextEncoder().encode(JSON.stringify({ holder: "usurper", term: 2 }));
  await store.lock.write("coordinator", usurper, entry?.revision ?? 0, stores.stop.signal);
  await sleep(times.renewMs + 1000);
  expect(first.losses).toEqual(["another coordinator has taken over after term 1"]);
});

test("nobody loses or takes the lock because NATS was away for longer than the lease", async () => {
  const first = await contend("first");
  await first.lock;
  const second = await contend("second");
  await sleep(times.renewMs);
  await stores.server.kill();
  await sleep(3 * times.leaseMs);
  await stores.server.resume();
  const outcome = second.lock.then(() => "taken");
  expect(await Promise.race([outcome, sleep(3 * times.leaseMs, "waiting")])).toBe("waiting");
  expect(first.losses).toEqual([]);
  first.crash();
  expect((await second.lock).term).toBe(2);
});
