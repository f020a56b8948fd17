import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { JobLogs } from "../../coordinator/logs.js";
import type { LogLine } from "../../src/wire/training.js";
import { eachWithRecordStores, type RecordStores } from "./recordStores.js";

let stores: RecordStores;
eachWithRecordStores((own) => {
  stores = own;
});

const deposed: string[] = [];

async function openLogs(term = 1): Promise<JobLogs> {
  const store = await stores.open();
  return new JobLogs(store.logs, {
    signal: stores.stop.signal,
    term: () => term,
    onDeposed: (reason) => deposed.push(reason),
  });
}

function append(logs: JobLogs, job: string, message: string): void {
  logs.append(job, { timeMs: 5, level: "info", message, fields: { step: 3, worker: "w" } });
}

async function read(logs: JobLogs, job: string, afterSequence = 0): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  const options = { afterSequence, follow: () => false, signal: stores.stop.signal };
  for await (const line of logs.read(job, options)) lines.push(line);
  return lines;
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

test("the lines of a job are numbered from 1 and come back whole, from any number on", async () => {
  const logs = await openLogs();
  for (let i = 0; i < 20; i++) {
    append(logs, "a", `line ${i}`);
    append(logs, "b", `other ${i}`);
  }
  const lines = await read(logs, "a");
  expect(lines.map(({ sequence }) => sequence)).toEqual(numbers(20));
  expect(lines[7]).toEqual({
    sequence: 8,
    timeMs: 5,
    level: "info",
    message: "line 7",
    fields: { step: 3, worker: "w" },
  });
  expect((await read(logs, "a", 17)).map(({ message }) => message)).toEqual([
    "line 17",
    "line 18",
    "line 19",
  ]);
  expect(await read(logs, "c")).toEqual([]);
});

test("a second coordinator goes on with the numbers where the first one ended", async () => {
  const first = await openLogs();
  append(first, "a", "one");
  append(first, "a", "two");
  await first.flush(5000);
  const second = await openLogs();
  append(second, "a", "three");
  await second.flush(5000);
  // The first one does not know of the third line, and must not number it again.
  append(first, "a", "four");
  await first.flush(5000);
  const lines = await read(second, "a");
  expect(lines.map(({ sequence, message }) => `${sequence} ${message}`)).toEqual([
    "1 one",
    "2 two",
    "3 three",
    "4 four",
  ]);
});

test("a follower sees every line once, in order, across two kills of nats-server, and ends when the job has", async () => {
  const logs = await openLogs();
  let running = true;
  const seen: LogLine[] = [];
  const following = (async (): Promise<void> => {
    const options = { afterSequence: 0, follow: () => running, signal: stores.stop.signal };
    for await (const line of logs.read("a", options)) seen.push(line);
  })();
  for (let i = 0; i < 60; i++) {
    append(logs, "a", `line ${i}`);
    await sleep(20);
    if (i === 15 || i === 40) await stores.server.kill();
    if (i === 30 || i === 45) await stores.server.resume();
  }
  running = false;
  await following;
  expect(seen.map(({ sequence }) => sequence)).toEqual(numbers(60));
  expect(seen.map(({ message }) => message)).toEqual(numbers(60).map((i) => `line ${i - 1}`));
});

test("a follower hears of a new line at once", async () => {
  const logs = await openLogs();
  append(logs, "a", "first");
  const lines = logs.read("a", {
    afterSequence: 0,
    follow: () => true,
    signal: stores.stop.signal,
  });
  await lines.next();
  const next = lines.next();
  await sleep(300);
  const appendedMs = performance.now();
  append(logs, "a", "second");
  expect(await next).toMatchObject({ value: { sequence: 2, message: "second" } });
  expect(performance.now() - appendedMs).toBeLessThan(400);
  await lines.return(undefined);
});

test("a long log is read in several batches without gap or repetition", async () => {
  const logs = await openLogs();
  for (let i = 0; i < 1203; i++) append(logs, "a", `line ${i}`);
  await logs.flush(15_000);
  expect((await read(logs, "a")).map(({ sequence }) => sequence)).toEqual(numbers(1203));
});

test("a log that a higher term has taken over is closed to the coordinator before", async () => {
  const first = await openLogs(1);
  const step = (n: number): void => {
    first.append("a", {
      ...{ timeMs: 5, level: "info", message: `step ${n} of 9` },
      ...{ event: "step", fields: { step: n } },
    });
  };
  for (const n of [1, 2, 3]) step(n);
  await first.flush(5000);
  const second = await openLogs(2);
  const logged = await second.takeOver([
    { name: "a", isActive: true },
    { name: "b", isActive: false },
  ]);
  expect([...logged]).toEqual([["a", { step: 3, hasEvaluation: false }]]);
  step(4);
  await first.flush(5000);
  expect(deposed).toEqual(["a coordinator of term 2 writes the log of a"]);
  append(second, "a", "on");
  await second.flush(5000);
  const messages = (await read(second, "a")).map(({ message }) => message);
  expect(messages.slice(0, 3)).toEqual(["step 1 of 9", "step 2 of 9", "step 3 of 9"]);
  expect(messages.slice(3)).toEqual(["a coordinator has started, and goes on with the job", "on"]);
});

test("the numbers of a log whose lines are all gone are not used again", async () => {
  const store = await stores.open();
  const logs = new JobLogs(store.logs, {
    ...{ signal: stores.stop.signal, term: () => 2, onDeposed: (reason) => deposed.push(reason) },
    used: async (job) => (job === "old" ? 3000 : 0),
  });
  for (const job of ["old", "old", "new"]) append(logs, job, "on");
  await logs.flush(5000);
  expect((await read(logs, "old")).map(({ sequence }) => sequence)).toEqual([3001, 3002]);
  expect((await read(logs, "new")).map(({ sequence }) => sequence)).toEqual([1]);
});
