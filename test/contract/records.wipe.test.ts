import { connect } from "nats";
import { expect, test } from "vitest";

import { CoordinatorLock } from "../../coordinator/lock.js";
import { openMemory, type Memory } from "../../coordinator/memory.js";
import { StoreTerms } from "../../coordinator/terms.js";
import type { JobRecord } from "../../src/control/record.js";
import type { RecordStore } from "../../src/link/jetstream.js";
import { createLogger } from "../../src/process/logger.js";
import { FolderStore } from "../../src/store/folderStore.js";
import type { LogLine } from "../../src/wire/training.js";
import { until } from "../support/fleetProcesses.js";
import { MemoryTerms } from "../support/termBook.js";
import { temporaryFolder } from "../unit/temporaryFolder.js";
import { jobRecordOf } from "./jobRecordOf.js";
import { eachWithRecordStores, type RecordStores } from "./recordStores.js";

/** A nats-server that comes back with nothing of what it had stored. */

const logger = createLogger({ process: "test" }, "silent");

let stores: RecordStores;
eachWithRecordStores((own) => {
  stores = own;
});

interface Coordinator {
  /** Whether it has the lock. */
  holds: boolean;
  readonly memory: Memory;
  readonly durable: RecordStore;
  readonly conflicts: readonly string[];
  /** What NATS was found to have lost, as often as it was. */
  readonly emptied: readonly string[];
}

async function coordinator(store: FolderStore, term = 1): Promise<Coordinator> {
  const conflicts: string[] = [];
  const emptied: string[] = [];
  const opened: { memory: Memory | undefined } = { memory: undefined };
  const lock = { holds: true };
  const durable = await stores.open((what) => {
    emptied.push(JSON.stringify(what));
    opened.memory?.writeAgain(what, opened.memory.found);
  });
  const memory = await openMemory({
    onUnwritable: (job, problem) => expect.fail(`${job}: ${problem}`),
    ...{ durable, store, term: () => term, signal: stores.stop.signal },
    logger,
    isHolder: () => Promise.resolve(lock.holds),
    onConflict: (reason) => conflicts.push(reason),
  });
  opened.memory = memory;
  return Object.assign(lock, { memory, durable, conflicts, emptied });
}

async function openStore(): Promise<FolderStore> {
  return FolderStore.open(await temporaryFolder());
}

async function story(memory: Memory, job: string, afterSequence = 0): Promise<readonly string[]> {
  const lines: LogLine[] = [];
  const options = { afterSequence, follow: () => false, signal: stores.stop.signal };
  for await (const line of memory.logs.read(job, options)) lines.push(line);
  return lines.map(({ sequence, message }) => `${sequence} ${message}`);
}

function say(memory: Memory, job: string, ...messages: readonly string[]): void {
  for (const message of messages)
    memory.logs.append(job, { timeMs: 5, level: "info", message, fields: {} });
}

const names = (records: readonly JobRecord[]): readonly string[] =>
  records.map(({ name, step }) => `${name} ${step}`).toSorted();

test("a coordinator that lives through it writes all that it knows again, and nobody has taken over", async () => {
  const store = await openStore();
  const first = await coordinator(store);
  for (const name of ["a", "b", "c"]) await first.memory.store(jobRecordOf(name, 3));
  const now = await coordinator(store);
  await now.memory.store(jobRecordOf("b", 4));
  await stores.server.wipe();
  await now.memory.store(jobRecordOf("a", 5));
  await now.memory.flush(10_000);
  expect(now.conflicts).toEqual([]);
  expect(now.emptied).toEqual(['{"jobs":true,"logs":true}']);
  await stores.server.kill();
  await stores.server.resume();
  const next = await coordinator(await openStore());
  expect(names(next.memory.found)).toEqual(["a 5", "b 4", "c 3"]);
  await now.memory.store(jobRecordOf("c", 6));
  expect(now.conflicts).toEqual([]);
});

test("a server that was put back to an older state raises no job that has ended since", async () => {
  const store = await openStore();
  const first = await coordinator(store);
  const at = (name: string, more: Partial<JobRecord>): JobRecord => ({
    ...{ ...jobRecordOf(name, 12), state: "training", attempt: 1, generation: 1 },
    ...more,
  });
  for (const name of ["cancelled", "done", "on"]) await first.memory.store(at(name, {}));
  await stores.server.backUp();
  const now = await coordinator(store, 2);
  await now.memory.store(at("cancelled", { state: "cancelled", endedMs: 9 }));
  await now.memory.store(at("done", { state: "done", step: 100, endedMs: 9 }));
  await now.memory.store(at("on", { step: 40 }));
  await now.memory.flush(10_000);
  await stores.server.putBack();
  for (const term of [3, 4]) {
    const next = await coordinator(store, term);
    const found = next.memory.found.map(({ name, state, step }) => `${name} ${state} ${step}`);
    expect(found.toSorted()).toEqual(["cancelled cancelled 12", "done done 100", "on training 40"]);
    await next.memory.flush(10_000);
  }
});

test("what another coordinator has written into the empty server is left alone", async () => {
  const store = await openStore();
  const former = await coordinator(store);
  await former.memory.store(jobRecordOf("a", 3));
  await stores.server.wipe();
  const next = await coordinator(store, 2);
  await next.memory.store(jobRecordOf("a", 9));
  former.holds = false;
  former.memory.put(jobRecordOf("a", 4));
  await until("it is told", () => former.conflicts.length > 0, 10_000);
  expect(former.conflicts).toEqual(["the record of job a was written by another coordinator"]);
  expect(names((await coordinator(store, 3)).memory.found)).toEqual(["a 9"]);
});

test("the lock stays with its holder, under its term", async () => {
  const losses: string[] = [];
  const durable = await stores.open();
  const lock = await CoordinatorLock.acquire(durable.lock, {
    ...{ holder: "me", identity: "", isGone: () => false },
    terms: new MemoryTerms(6),
    times: { leaseMs: 800, renewMs: 100 },
    signal: stores.stop.signal,
    onWait: () => undefined,
    onLost: (reason) => losses.push(reason),
  });
  await stores.server.wipe();
  const reader = await stores.open();
  await until("it is written again", async () => {
    const entry = await reader.lock.read("coordinator");
    return entry !== undefined && new TextDecoder().decode(entry.value).includes('"term":7');
  });
  expect([lock.term, losses]).toEqual([7, []]);
});

test("a version of before is none of a lock that another has made since", async () => {
  const { signal } = stores.stop;
  const write = (store: RecordStore, revision: number): Promise<number | undefined> =>
    store.lock.write("coordinator", new Uint8Array(1), revision, signal);
  const before = await stores.open();
  const first = await write(before, 0);
  await stores.server.wipe();
  const after = await stores.open();
  expect(await write(after, 0)).toBeGreaterThan(first ?? Infinity);
  expect(await write(before, first ?? 0)).toBeUndefined();
});

test("log lines go on with their numbers, a follower sees none twice, and one line says what is lost", async () => {
  const { memory } = await coordinator(await openStore());
  await memory.store(jobRecordOf("a", 3));
  const found: LogLine[] = [];
  let running = true;
  const options = { afterSequence: 0, follow: () => running, signal: stores.stop.signal };
  const following = (async (): Promise<void> => {
    for await (const line of memory.logs.read("a", options)) found.push(line);
  })();
  say(memory, "a", "one", "two", "three");
  await until("they are read", () => found.length === 3);
  // The list of jobs that is told of is the one found at the start; this job is younger.
  const { found: none } = memory;
  expect(none).toEqual([]);
  await stores.server.wipe();
  say(memory, "a", "four", "five");
  memory.logs.lose("a", 0);
  await until("the rest is read", () => found.length === 6);
  running = false;
  say(memory, "a", "six");
  await following;
  expect(found.map(({ sequence, message }) => `${sequence} ${message}`)).toEqual([
    ...["1 one", "2 two", "3 three", "4 four", "5 five"],
    "6 lines up to 3 of this log were lost with the storage of NATS",
    "7 six",
  ]);
  expect(await story(memory, "a")).toEqual([
    ...["4 four", "5 five", "6 lines up to 3 of this log were lost with the storage of NATS"],
    "7 six",
  ]);
});

test("a coordinator that starts on an empty server goes on from the copies in the store", async () => {
  const store = await openStore();
  const former = await coordinator(store, 5);
  const active: JobRecord = { ...jobRecordOf("a", 3), state: "training", generation: 2 };
  await former.memory.store(active);
  await former.memory.store(jobRecordOf("b", 0));
  say(former.memory, "a", "one", "two");
  await former.memory.flush(5000);
  await stores.server.wipe();
  expect(await new StoreTerms(store, logger, stores.stop.signal).highest()).toBe(5);
  const next = await coordinator(store, 6);
  expect(names(next.memory.found)).toEqual(["a 3", "b 0"]);
  // Above every generation that workers may have seen.
  const taken = next.memory.found.find(({ name }) => name === "a");
  expect(taken).toEqual({ ...active, generation: 1002 });
  say(next.memory, "a", "three");
  await next.memory.flush(5000);
  const lost = "lines up to 1000 of this log were lost with the storage of NATS";
  // Whoever has read up to line 2 goes on behind it, and sees what comes once.
  expect(await story(next.memory, "a", 2)).toEqual([`1001 ${lost}`, "1002 three"]);
  expect(names((await coordinator(await openStore())).memory.found)).toEqual(["a 3", "b 0"]);
});

test("a coordinator that starts on a server that has its records does not look at the copies", async () => {
  const store = await openStore();
  const former = await coordinator(store);
  await former.memory.store(jobRecordOf("a", 3));
  former.memory.put(jobRecordOf("a", 8));
  say(former.memory, "a", "one");
  await former.memory.flush(5000);
  const next = await coordinator(store, 2);
  expect(names(next.memory.found)).toEqual(["a 8"]);
  say(next.memory, "a", "two");
  await next.memory.flush(5000);
  expect(await story(next.memory, "a")).toEqual(["1 one", "2 two"]);
});

test("a copy that is ahead of what NATS has is taken instead: that is the late word of an earlier coordinator", async () => {
  const store = await openStore();
  const former = await coordinator(store, 5);
  const active: JobRecord = { ...jobRecordOf("a", 3), state: "training", generation: 2 };
  await former.memory.store(active);
  await former.memory.flush(5000);
  await stores.server.wipe();
  const late = await coordinator(await openStore(), 4);
  await late.memory.store({ ...active, step: 0, generation: 1 });
  const next = await coordinator(store, 6);
  expect(next.memory.found).toEqual([{ ...active, generation: 1002 }]);
  expect(next.conflicts).toEqual([]);
});

test("reading and following logs leaves no consumer behind", async () => {
  const { memory } = await coordinator(await openStore());
  await memory.store(jobRecordOf("a", 3));
  const stop = new AbortController();
  const following = Array.from({ length: 20 }, async () => {
    const options = { afterSequence: 0, follow: () => true, signal: stop.signal };
    let count = 0;
    for await (const { sequence } of memory.logs.read("a", options)) count = sequence;
    return count;
  });
  for (let i = 0; i < 30; i++) {
    say(memory, "a", `line ${i}`);
    if (i % 10 === 0) await story(memory, "a");
  }
  await memory.flush(5000);
  await until("all is read", async () => (await story(memory, "a")).length === 30);
  stop.abort();
  await Promise.all(following);
  const connection = await connect({ servers: stores.server.url });
  try {
    const manager = await connection.jetstreamManager();
    const streams = await manager.streams.list().next();
    expect(streams.map(({ config }) => config.name).toSorted()).toEqual([
      ...["KV_bitfleet_jobs", "KV_bitfleet_lock", "bitfleet_logs"],
    ]);
    expect(streams.map(({ state }) => state.consumer_count)).toEqual([0, 0, 0]);
  } finally {
    await connection.close();
  }
});

test("where only log lines are gone their numbers are not used again", async () => {
  const store = await openStore();
  const former = await coordinator(store);
  await former.memory.store(jobRecordOf("a", 3));
  say(former.memory, "a", "one", "two");
  await former.memory.flush(5000);
  const connection = await connect({ servers: stores.server.url });
  await (await connection.jetstreamManager()).streams.purge("bitfleet_logs");
  await connection.close();
  const next = await coordinator(store, 2);
  say(next.memory, "a", "three");
  await next.memory.flush(5000);
  expect(await story(next.memory, "a")).toEqual(["1001 three"]);
});
