import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { Records } from "../../coordinator/records.js";
import type { JobRecord } from "../../src/control/record.js";
import type { RecordBucket } from "../../src/link/jetstream.js";
import { jobRecord } from "../../src/wire/jobRecord.js";
import { jobRecordOf } from "./jobRecordOf.js";
import { eachWithRecordStores, type RecordStores } from "./recordStores.js";

let stores: RecordStores;
eachWithRecordStores((own) => {
  stores = own;
});

interface Opened {
  readonly records: Records;
  /** Whether it has the lock, or will know it one day. */
  holds: boolean | Promise<boolean>;
  readonly found: readonly JobRecord[];
  readonly unreadable: ReadonlyMap<string, string>;
  /** What could not be written, and why. */
  readonly refused: readonly string[];
  readonly conflicts: readonly string[];
  /** Steps that were written, as they went out. */
  readonly written: readonly string[];
}

async function open(): Promise<Opened> {
  const store = await stores.open();
  const lock: Pick<Opened, "holds"> = { holds: true };
  const conflicts: string[] = [];
  const written: string[] = [];
  const bucket: RecordBucket = {
    ...store.jobs,
    write: (key, value, revision, signal) => {
      written.push(`${key} ${jobRecord.decode(value).step}`);
      return store.jobs.write(key, value, revision, signal);
    },
  };
  const refused: string[] = [];
  const { records, found, unreadable } = await Records.open({
    bucket,
    codec: jobRecord,
    signal: stores.stop.signal,
    isHolder: () => Promise.resolve(lock.holds),
    onUnwritable: (job, problem) => refused.push(`${job}: ${problem}`),
    onConflict: (reason) => conflicts.push(reason),
  });
  return Object.assign(lock, { records, found, unreadable, refused, conflicts, written });
}

/** Writes what nobody may be told of. */
async function putDurably({ records }: Opened, record: JobRecord): Promise<void> {
  records.put(record);
  await records.flush(5000);
}

test("what was stored is found again, whole, by the next coordinator", async () => {
  const first = await open();
  expect(first.found).toEqual([]);
  await first.records.store(jobRecordOf("a", 3));
  await first.records.store(jobRecordOf("b", 4));
  await first.records.store(jobRecordOf("a", 5));
  const next = await open();
  expect(next.found.toSorted((x, y) => (x.name < y.name ? -1 : 1))).toEqual([
    jobRecordOf("a", 5),
    jobRecordOf("b", 4),
  ]);
  await next.records.store(jobRecordOf("a", 6));
  expect((await open()).found).toContainEqual(jobRecordOf("a", 6));
  expect([...first.conflicts, ...next.conflicts]).toEqual([]);
});

test("a record that cannot be read is put aside, and one that cannot be written is its job's trouble alone", async () => {
  const first = await open();
  await first.records.store(jobRecordOf("good", 3));
  const store = await stores.open();
  const { signal } = stores.stop;
  const bad: readonly (readonly [string, string])[] = [
    ["torn", "{"],
    ["huge", JSON.stringify({ ...jobRecordOf("huge"), version: 1, attempt: 2 ** 31 })],
    ["other", new TextDecoder().decode(jobRecord.encode(jobRecordOf("good")))],
  ];
  for (const [name, text] of bad)
    await store.jobs.write(name, new TextEncoder().encode(text), 0, signal);
  const next = await open();
  expect(next.found).toEqual([jobRecordOf("good", 3)]);
  expect([...next.unreadable].toSorted()).toEqual([
    ["huge", "attempt 2147483648"],
    ["other", "it is one of good"],
    ["torn", "a record that are no JSON"],
  ]);
  const settled: string[] = [];
  const asked = next.records
    .store({ ...jobRecordOf("grows"), attempt: 2 ** 31 })
    .then(() => void settled.push("grows"));
  await next.records.store(jobRecordOf("good", 4));
  expect(next.refused).toEqual(["grows: attempt 2147483648"]);
  expect([next.conflicts, settled]).toEqual([[], []]);
  // Who waits hears of the record that is kept instead.
  await next.records.store({ ...jobRecordOf("grows"), state: "failed" });
  await asked;
  // Nor do others wait for a job of which nothing can be kept.
  await Promise.all([1, 2].map((i) => next.records.store({ ...jobRecordOf("never"), step: -i })));
  expect(next.refused).toEqual(["grows: attempt 2147483648", "never: step -1"]);
  const last = await open();
  expect(last.found.map(({ name, state }) => `${name} ${state}`).toSorted()).toEqual([
    "good queued",
    "grows failed",
  ]);
});

test("the late word of a coordinator that was replaced is replaced by whoever holds the lock", async () => {
  const deposed = await open();
  await deposed.records.store(jobRecordOf("late", 3));
  const holder = await open();
  deposed.holds = false;
  await putDurably(deposed, jobRecordOf("late", 4));
  await holder.records.store(jobRecordOf("late", 7));
  expect((await open()).found).toContainEqual(jobRecordOf("late", 7));
  expect(holder.conflicts).toEqual([]);
  await putDurably(deposed, jobRecordOf("other", 1));
  deposed.records.put(jobRecordOf("late", 5));
  for (let i = 0; i < 100 && deposed.conflicts.length === 0; i += 1) await sleep(20);
  expect(deposed.conflicts).toHaveLength(1);
  expect((await open()).found).toContainEqual(jobRecordOf("late", 7));
});

test("a record is stored once the lock is known to be held after it was written, and never without", async () => {
  const first = await open();
  const settled: string[] = [];
  const store = (name: string): Promise<void> =>
    first.records.store(jobRecordOf(name, 1)).then(() => void settled.push(name));
  let know: (isHeld: boolean) => void = () => undefined;
  first.holds = new Promise((resolve) => (know = resolve));
  const asked = store("a");
  await first.records.flush(5000);
  expect((await open()).found).toContainEqual(jobRecordOf("a", 1));
  // A successor may have read what was there before.
  expect(settled).toEqual([]);
  know(true);
  await asked;
  first.holds = false;
  void store("b");
  await first.records.flush(5000);
  first.holds = true;
  await store("c");
  expect(settled).toEqual(["a", "c"]);
  expect((await open()).found).toContainEqual(jobRecordOf("b", 1));
  // Whoever lost the lock hears it from there.
  expect(first.conflicts).toEqual([]);
});

test("while NATS is away records wait, only the newest of each job is written, and nothing blocks", async () => {
  const { records, written } = await open();
  await records.store(jobRecordOf("a", 1));
  await stores.server.kill();
  const begunMs = performance.now();
  for (let step = 2; step <= 50; step++) {
    records.put(jobRecordOf("a", step));
    records.put(jobRecordOf("b", step));
  }
  expect(performance.now() - begunMs).toBeLessThan(1000);
  const stored = records.store(jobRecordOf("a", 51));
  expect(await Promise.race([stored.then(() => "stored"), sleep(500, "waiting")])).toBe("waiting");
  await stores.server.resume();
  await stored;
  await records.flush(5000);
  // The write that was on its way, then the newest of each.
  expect(written).toEqual(["a 1", "a 2", "b 50", "a 51"]);
  expect((await open()).found.map(({ name, step }) => `${name} ${step}`).toSorted()).toEqual([
    "a 51",
    "b 50",
  ]);
});

test("a record that another coordinator has written is never written over, and that is told once", async () => {
  const former = await open();
  await former.records.store(jobRecordOf("a", 1));
  const next = await open();
  await next.records.store(jobRecordOf("a", 9));
  former.holds = false;
  former.records.put(jobRecordOf("a", 2));
  former.records.put(jobRecordOf("b", 2));
  await sleep(500);
  expect(former.conflicts).toEqual(["the record of job a was written by another coordinator"]);
  expect((await open()).found).toEqual([jobRecordOf("a", 9)]);
});

test("what NATS has lost is not written again by a coordinator that was replaced", async () => {
  const all = await Promise.all([open(), open(), open()]);
  const [told, untold, holder] = all;
  await told.records.store(jobRecordOf("a", 1));
  await untold.records.store(jobRecordOf("b", 1));
  await holder.records.store(jobRecordOf("c", 1));
  told.holds = untold.holds = false;
  await stores.server.wipe();
  for (const { records } of [told, holder]) records.writeAll();
  untold.records.put(jobRecordOf("b", 2));
  await holder.records.flush(5000);
  for (let i = 0; i < 100 && untold.conflicts.length === 0; i += 1) await sleep(20);
  const conflict = (job: string): string =>
    `the record of job ${job} is gone, and another coordinator has taken over`;
  expect(all.map(({ conflicts }) => conflicts)).toEqual([[conflict("a")], [conflict("b")], []]);
  expect((await open()).found).toEqual([jobRecordOf("c", 1)]);
});

test("a job that two coordinators create at once belongs to one of them", async () => {
  const [one, two] = [await open(), await open()];
  one.holds = two.holds = false;
  one.records.put(jobRecordOf("a", 1));
  two.records.put(jobRecordOf("a", 2));
  await sleep(500);
  expect([...one.conflicts, ...two.conflicts]).toHaveLength(1);
});
