import { connect } from "nats";
import { expect, test } from "vitest";

import { openMemory, type Memory } from "../../coordinator/memory.js";
import { StoreTerms } from "../../coordinator/terms.js";
import type { JobRecord } from "../../src/control/record.js";
import { createLogger } from "../../src/process/logger.js";
import type { Store } from "../../src/store/store.js";
import type { LogLine } from "../../src/wire/training.js";
import { SlowStore } from "../support/slowStore.js";
import { MemoryStore } from "../unit/memoryStore.js";
import { jobRecordOf } from "./jobRecordOf.js";
import { eachWithRecordStores, type RecordStores } from "./recordStores.js";

const logger = createLogger({ process: "test" }, "silent");

let stores: RecordStores;
eachWithRecordStores((own) => {
  stores = own;
});

async function open(store: Store, term: number): Promise<Memory> {
  return openMemory({
    ...{ durable: await stores.open(), store, term: () => term, signal: stores.stop.signal },
    ...{ logger, isHolder: async () => true },
    onUnwritable: (job, problem) => {
      throw new Error(`${job}: ${problem}`);
    },
    onConflict: (reason) => {
      throw new Error(reason);
    },
  });
}

function ended(name: string, order: number, part: Partial<JobRecord> = {}): JobRecord {
  return { ...jobRecordOf(name, 3), state: "failed", order, attempt: 1, endedMs: 1, ...part };
}

/** The store requests that it takes to take over. */
async function requestsOf(near: MemoryStore, term: number): Promise<number> {
  const store = new SlowStore(near, 0);
  const terms = new StoreTerms(store, logger, stores.stop.signal);
  expect(await terms.highest()).toBe(term - 1);
  await terms.claim(term);
  await open(store, term);
  return store.requests;
}

test("to take over takes as many requests to the store, however many jobs have ended", async () => {
  const near = new MemoryStore();
  const first = await open(near, 1);
  const terms = new StoreTerms(near, logger, stores.stop.signal);
  for (const term of [1, 2]) await terms.claim(term);
  await first.store(ended("job-0", 1));
  await first.flush(20_000);
  const few = await requestsOf(near, 3);
  for (let i = 1; i < 40; i += 1) await first.store(ended(`job-${i}`, i + 1));
  await first.flush(20_000);
  const copies = await near.list("records/");
  expect(copies).toHaveLength(40);
  // Nor does a write list the copies of all jobs that there ever were: each folder has a few.
  const folders = new Set(copies.map((name) => name.slice(0, name.lastIndexOf("/"))));
  expect(folders.size).toBeGreaterThan(25);
  expect(await requestsOf(near, 4)).toBe(few);
});

test("a job that was resumed before NATS was put back goes on, and so do the numbers of its log", async () => {
  const near = new MemoryStore();
  const former = await open(near, 1);
  const say = (memory: Memory, message: string): void =>
    memory.logs.append("job", { timeMs: 5, level: "info", message, fields: {} });
  await former.store(ended("job", 1));
  say(former, "one");
  await former.flush(20_000);
  const connection = await connect({ servers: stores.server.url });
  const streams = (await connection.jetstreamManager()).streams;
  const before = await streams.getMessage("KV_bitfleet_jobs", {
    last_by_subj: "$KV.bitfleet_jobs.job",
  });
  const resumed = ended("job", 2, { state: "training", attempt: 2, generation: 1, endedMs: 0 });
  await former.store(resumed);
  for (const message of ["two", "three"]) say(former, message);
  await former.flush(20_000);
  expect(await near.list("records/")).toEqual([
    expect.stringMatching(/^records\/[0-9a-f]{2}\/job\.2\.open\.json$/),
  ]);
  // As a backup of NATS has it: the record and the log of before.
  await connection.jetstream().publish("$KV.bitfleet_jobs.job", before.data);
  const { state } = await streams.info("bitfleet_logs");
  for (const seq of [state.last_seq - 1, state.last_seq])
    await streams.deleteMessage("bitfleet_logs", seq);
  await connection.close();
  const next = await open(near, 2);
  expect(next.found).toMatchObject([{ name: "job", attempt: 2, state: "training" }]);
  say(next, "four");
  await next.flush(20_000);
  const lines: LogLine[] = [];
  const options = { afterSequence: 3, follow: () => false, signal: stores.stop.signal };
  for await (const line of next.logs.read("job", options)) lines.push(line);
  expect(lines.map(({ message }) => message)).toContain("four");
  expect(lines.map(({ sequence }) => sequence > 1000)).toEqual(lines.map(() => true));
});
