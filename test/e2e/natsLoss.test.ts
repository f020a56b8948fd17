import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";

import { connect, type BitfleetClient, type JobStatus } from "../../src/client/client.js";
import { anyPort } from "../../src/process/port.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { NatsProcess } from "../contract/natsProcess.js";
import { RunningProcess, until } from "../support/fleetProcesses.js";
import { ScriptedWorker } from "../support/scriptedWorker.js";

/** A real coordinator whose NATS is paused, killed, or comes back without what it had stored. */

const steps = 60;
let folder: string;
let port: number;
let nats: NatsProcess;
let coordinator: RunningProcess;
let client: BitfleetClient;
let workers: ScriptedWorker[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-test-"));
  port = await anyPort();
  nats = await NatsProcess.start();
  client = connect({ address: `127.0.0.1:${port}` });
  await startCoordinator();
  const store = await FolderStore.open(join(folder, "home", "store"));
  const address = `127.0.0.1:${port}`;
  workers = ["w1", "w2"].map((id) => new ScriptedWorker({ id, address, store, shardMs: 20 }));
  await until("they are welcome", () => workers.every(({ heard }) => heard.length > 0));
  await client.submit({
    ...{ name: "steady", model: "1-1-1-1x0.5", data: "/data", steps, batch: 8, shards: 4 },
    ...{ resize: 36, crop: 32, rate: 0.03, minWorkers: 2, checkpointEvery: 5 },
  });
  await until("step 6", () => workers.every(({ step }) => step >= 6));
});

afterEach(async () => {
  client.close();
  for (const worker of workers) worker.kill();
  await coordinator.stop();
  await nats.remove();
  await rm(folder, { recursive: true, force: true });
});

async function startCoordinator(): Promise<void> {
  coordinator = new RunningProcess("coordinator/main.js", [], {
    BITFLEET_HOME: join(folder, "home"),
    BITFLEET_PORT: String(port),
    BITFLEET_HTTP_PORT: String(await anyPort()),
    NATS_URL: nats.url,
  });
  await until("it serves", () => coordinator.output.includes('"serving"'));
}

async function ended(): Promise<JobStatus | undefined> {
  let last: JobStatus | undefined;
  for await (const status of client.watch("steady")) last = status;
  return last;
}

/** Follows the log from its beginning to the end of the job. */
async function follow(): Promise<{ readonly numbers: number[]; readonly messages: string[] }> {
  const seen = { numbers: [] as number[], messages: [] as string[] };
  for await (const { sequence, message } of client.logs("steady", { follow: true })) {
    seen.numbers.push(sequence);
    seen.messages.push(message);
  }
  return seen;
}

const lostLines = /^lines up to (\d+) of this log were lost with the storage of NATS$/;
const oneMore = (numbers: readonly unknown[]): readonly number[] =>
  Array.from(numbers, (_, i) => i + 1);

test("a NATS that comes back empty costs a running job nothing but old lines of its log", async () => {
  const following = follow();
  await sleep(500);
  await nats.wipe();
  expect(await ended()).toMatchObject({ state: "done", step: steps, attempt: 1 });
  const { numbers, messages } = await following;
  const told = messages.flatMap((message) => lostLines.exec(message)?.[1] ?? []);
  expect(told).toHaveLength(1);
  // Each line once and in order; one that was lost before it could be read is among those that are told to be.
  expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
  const missing = oneMore(Array.from({ length: numbers.at(-1) ?? 0 })).filter(
    (number) => !numbers.includes(number),
  );
  expect(missing.filter((number) => number > Number(told[0]))).toEqual([]);
  expect(missing.length).toBeLessThan(5);
  expect(coordinator.output).toContain("NATS has lost what it had stored; writing it again");
  expect(coordinator.output).not.toContain("steps down");
  // All is there for the next coordinator.
  coordinator.kill("SIGKILL");
  await coordinator.ended;
  await startCoordinator();
  expect((await client.job("steady")).state).toBe("done");
}, 60_000);

test("a NATS that comes back empty to a new coordinator leaves the job to the workers that hold it", async () => {
  const following = follow();
  const termBefore = workers[0]?.heard.at(-1)?.term ?? 0;
  const stepBefore = Math.min(...workers.map(({ step }) => step));
  coordinator.kill("SIGKILL");
  await coordinator.ended;
  await nats.wipe();
  await startCoordinator();
  expect(coordinator.output).toContain("NATS has lost a job; it is in the store");
  const last = await ended();
  expect(last).toMatchObject({ state: "done", step: steps, attempt: 1 });
  expect(workers.map(({ heard }) => (heard.at(-1)?.term ?? 0) > termBefore)).toEqual([true, true]);
  // Nobody was made to load a state again.
  const loads = workers.flatMap(({ heard }) =>
    heard.filter(({ command }) => command.kind === "load"),
  );
  expect(loads.map(({ command }) => command.kind === "load" && command.step)).toEqual([0, 0]);
  expect(stepBefore).toBeGreaterThan(5);
  const { numbers } = await following;
  expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
}, 60_000);

test("a NATS that stands still for a while, then is killed and comes back, loses nothing and evicts nobody", async () => {
  const following = follow();
  nats.pause();
  await sleep(5000);
  nats.unpause();
  const stepThen = workers[0]?.step ?? 0;
  await until("it goes on", () => (workers[0]?.step ?? 0) > stepThen);
  await nats.kill();
  await sleep(1500);
  await nats.resume();
  expect(await ended()).toMatchObject({ state: "done", step: steps, attempt: 1 });
  const { numbers, messages } = await following;
  expect(numbers).toEqual(oneMore(numbers));
  expect(messages.filter((message) => message.includes("is lost"))).toEqual([]);
  expect(messages.filter((message) => /^step \d+ of/.test(message))).toHaveLength(steps);
  expect(coordinator.output).toContain("NATS answers again");
}, 60_000);
