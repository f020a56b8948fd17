import { openMemory } from "../../coordinator/memory.js";
import { encodeMirrored, fileOf } from "../../coordinator/mirrorFiles.js";
import { StoreTerms } from "../../coordinator/terms.js";
import { emptyFleet } from "../../src/control/fleet.js";
import { fleetTimes } from "../../src/control/fleetEvent.js";
import type { JobRecord } from "../../src/control/record.js";
import { mapBounded } from "../../src/data/bounded.js";
import { openRecords } from "../../src/link/jetstream.js";
import { createLogger } from "../../src/process/logger.js";
import { jobRecord } from "../../src/wire/jobRecord.js";
import { jobRecordOf } from "../contract/jobRecordOf.js";
import { NatsProcess } from "../contract/natsProcess.js";
import { SlowStore } from "../support/slowStore.js";
import { MemoryStore } from "../unit/memoryStore.js";

export interface TakeoverResult {
  readonly name: "takeover";
  readonly endedJobs: number;
  readonly storeMs: number;
  readonly storeRequests: number;
  readonly seconds: number;
  /** Of this process alone. */
  readonly cpuSeconds: number;
}

const storeMs = 20;

/** From the lock being free to a fleet that takes events, where so many jobs have ended and the store is far away. */
export async function benchTakeover(endedJobs: number): Promise<TakeoverResult> {
  const server = await NatsProcess.start();
  const stop = new AbortController();
  const { signal } = stop;
  const durable = await openRecords({ url: server.url });
  try {
    const near = new MemoryStore();
    await near.put("terms/7", []);
    const numbers = Array.from({ length: endedJobs }, (_, i) => i);
    await mapBounded(numbers, 64, async (i) => {
      const record: JobRecord = {
        ...jobRecordOf(`old-${i}`, 3),
        ...{ state: "done", order: i + 1, attempt: 1, endedMs: i + 1 },
      };
      await near.put(fileOf(record), [encodeMirrored({ record, term: 7, lines: 0 }, jobRecord)]);
      await durable.jobs.write(record.name, jobRecord.encode(record), 0, signal);
    });
    const store = new SlowStore(near, storeMs);
    const logger = createLogger({ process: "bench" }, "silent");
    const atMs = performance.now();
    const before = process.cpuUsage();
    const terms = new StoreTerms(store, logger, signal);
    const term = (await terms.highest()) + 1;
    await terms.claim(term);
    const memory = await openMemory({
      ...{ durable, store, term: () => term, signal, logger },
      isHolder: async () => Promise.resolve(true),
      onUnwritable: (job, problem) => {
        throw new Error(`${job}: ${problem}`);
      },
      onConflict: (reason) => {
        throw new Error(reason);
      },
    });
    const options = {
      ...fleetTimes,
      ...{ term, nats: { url: "", user: "", secret: "" }, store: "", joinLine: "" },
    };
    emptyFleet(options, memory.found, memory.logged, 0);
    const seconds = Math.round(performance.now() - atMs) / 1000;
    const { user, system } = process.cpuUsage(before);
    const cpuSeconds = Math.round((user + system) / 1000) / 1000;
    const storeRequests = store.requests;
    return { name: "takeover", endedJobs, storeMs, storeRequests, seconds, cpuSeconds };
  } finally {
    stop.abort();
    await durable.close();
    await server.remove();
  }
}
