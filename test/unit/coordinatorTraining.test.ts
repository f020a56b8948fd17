import { afterEach, expect, test } from "vitest";

import { JobLogs } from "../../coordinator/logs.js";
import { Loop } from "../../coordinator/loop.js";
import type { Memory } from "../../coordinator/memory.js";
import { RemovedJobs } from "../../coordinator/removedJobs.js";
import { Training } from "../../coordinator/training.js";
import { fleetTimes } from "../../src/control/fleetEvent.js";
import type { LineStream } from "../../src/link/jetstream.js";
import { createLogger } from "../../src/process/logger.js";
import { jobRecordOf } from "../contract/jobRecordOf.js";
import { MemoryStore } from "./memoryStore.js";

const stop = new AbortController();
const loops: Loop[] = [];

afterEach(() => {
  for (const loop of loops.splice(0)) loop.stop();
});

const stream: LineStream = {
  append: async (_topic, _line, after) => after + 1,
  remove: async () => undefined,
  last: async () => undefined,
  read: async () => ({ lines: [], end: true }),
};

/** A coordinator's calls over records that are durable at once. */
async function training(isHolder: () => Promise<boolean>): Promise<Training> {
  const logs = new JobLogs(stream, {
    ...{ signal: stop.signal, term: () => 1, onDeposed: () => undefined },
  });
  const memory: Memory = {
    found: [jobRecordOf("a")],
    unreadable: new Map(),
    halfRemoved: [],
    logged: new Map(),
    logs,
    store: async () => undefined,
    put: () => undefined,
    remove: async () => undefined,
    writeAgain: () => undefined,
    flush: async () => undefined,
  };
  const loop = new Loop({
    fleet: {
      ...fleetTimes,
      term: 1,
      nats: { url: "", user: "", secret: "" },
      store: "",
      joinLine: "",
    },
    memory,
    logger: createLogger({ process: "test" }, "silent"),
    discard: () => undefined,
    onFatal: (error) => {
      throw error;
    },
    onHigherTerm: async (term) => ({ term: term + 1 }),
  });
  loops.push(loop);
  const store = new MemoryStore();
  const scale = async (workers: number): Promise<number> => workers;
  const removed = await RemovedJobs.open(store);
  const forget = (job: string): Promise<void> => memory.remove(job);
  return new Training({
    ...{ loop, logs, store, removed, forget, isHolder, scale, signal: stop.signal },
    unreadable: new Map([["torn", "a record that are no JSON"]]),
  });
}

test("what was asked of a coordinator that is none any more is refused, and not as NATS' fault", async () => {
  expect(await (await training(async () => true)).cancelJob("a")).toMatchObject({
    state: "cancelled",
  });
  await expect((await training(async () => false)).cancelJob("a")).rejects.toThrow(
    "what was asked of job a may not have been done: another coordinator has taken over; ask again",
  );
});

test.each([65, -1, 1.5])(
  "%d workers on one machine are refused, whichever client asks",
  async (workers) => {
    const asked = await training(async () => true);
    expect(await asked.scaleWorkers(64)).toBe(64);
    await expect(asked.scaleWorkers(workers)).rejects.toThrow(
      `workers is ${workers}, not a whole number from 0 to 64`,
    );
  },
);

test("the name of a job whose record cannot be read is given to no other", async () => {
  const settings = { name: "torn", model: "R50x1", data: "/data" };
  const asked = (await training(async () => true)).submit({ settings, requestId: "r" });
  await expect(asked).rejects.toThrow(
    "name torn is in use by a job whose record cannot be used: a record that are no JSON",
  );
});
