import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { hasEnded } from "../../src/control/record.js";
import type { JobRequest } from "../../src/job/settings.js";
import { FolderStore } from "../../src/store/folderStore.js";
import type { JobStatus, LogLine } from "../../src/wire/training.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { ScriptedWorker } from "../support/scriptedWorker.js";

let fleet: FleetProcesses;
let store: FolderStore;
let worker: ScriptedWorker;

beforeEach(async () => {
  fleet = await FleetProcesses.start();
  const folder = join(fleet.folder, "home", "store");
  await mkdir(folder, { recursive: true });
  store = await FolderStore.open(folder);
  worker = new ScriptedWorker({ id: "w1", address: `127.0.0.1:${fleet.port}`, store, shardMs: 2 });
  await fleet.waitForWorkers(1);
}, 120_000);

afterEach(async () => {
  worker.kill();
  await fleet.stop();
}, 60_000);

function request(name: string, part: Partial<JobRequest> = {}): JobRequest {
  return {
    ...{ name, model: "1-1-1-1x0.5", data: "/data", crop: 32, resize: 36, recipe: "upstream" },
    ...{ batch: 8, shards: 4, steps: 4, checkpointEvery: 2 },
    ...part,
  };
}

async function run(name: string, part: Partial<JobRequest> = {}): Promise<JobStatus> {
  await fleet.client.submit(request(name, part));
  await until(`${name} has ended`, async () => hasEnded((await fleet.client.job(name)).state));
  return fleet.client.job(name);
}

async function linesOf(name: string): Promise<readonly string[]> {
  const lines: LogLine[] = [];
  for await (const line of fleet.client.logs(name)) lines.push(line);
  return lines.map(({ message }) => message);
}

test("a job is removed with all that it has, and another has its name and nothing of it", async () => {
  expect((await run("one")).state).toBe("done");
  await run("two", { weights: "job:one" });
  const { client } = fleet;
  expect(await store.list("jobs/one/")).toContain("jobs/one/weights.npz");
  expect(await client.removeJob("one")).toBeGreaterThan(1);
  await expect(client.job("one")).rejects.toThrow("there is no job one");
  expect(await store.list("jobs/one/")).toEqual([]);
  expect((await store.list("records/")).filter((name) => name.includes("one"))).toEqual([]);
  // The other job has the same index.
  expect(await store.list("indexes/")).toHaveLength(1);

  const again = await run("one", { steps: 3 });
  expect(again).toMatchObject({ name: "one", state: "done", step: 3, attempt: 1 });
  expect(again.weights).toBe("jobs/one--2/weights.npz");
  expect(await store.list("jobs/one/")).toEqual([]);
  const lines = await linesOf("one");
  expect(lines[0]).toContain("submitted");
  expect(lines.filter((line) => line.startsWith("step "))).toHaveLength(3);
  expect((await client.jobs()).map(({ name }) => name).toSorted()).toEqual(["one", "two"]);

  await fleet.coordinator.stop();
  fleet.restartCoordinator();
  await until("it serves again", async () => (await client.jobs()).length === 2);
  expect(await client.job("one")).toMatchObject({ step: 3, weights: "jobs/one--2/weights.npz" });
  expect(await client.removeJob("one", { keepWeights: true })).toBeGreaterThan(0);
  expect(await store.list("jobs/one--2/")).toEqual(["jobs/one--2/weights.npz"]);
}, 240_000);

test("what has not ended, and weights that another job needs, are not removed", async () => {
  await run("source");
  const { client } = fleet;
  await client.submit(request("needs", { weights: "job:source", steps: 5000, minWorkers: 1 }));
  await expect(client.removeJob("needs")).rejects.toThrow(
    /job needs cannot be removed: it is \w+, and only a job that has ended is/,
  );
  await expect(client.removeJob("source")).rejects.toThrow(
    "job source cannot be removed: job needs needs its weights; --keep-weights leaves them",
  );
  await expect(client.removeJob("nobody")).rejects.toThrow("there is no job nobody");
  await client.cancel("needs");
  await until("it has", async () => (await client.job("needs")).state === "cancelled");
  // It may be resumed, from its start if need be.
  await expect(client.removeJob("source")).rejects.toThrow("needs its weights");
  await client.removeJob("needs");
  await client.removeJob("source");
  expect(await client.jobs()).toEqual([]);
  expect(await store.list("jobs/")).toEqual([]);
}, 240_000);
