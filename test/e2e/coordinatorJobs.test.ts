import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import type { JobStatus, LogLine } from "../../src/client/client.js";
import type { JobRequest } from "../../src/job/settings.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { ScriptedWorker, toyWeights } from "../support/scriptedWorker.js";
import { writePictures } from "../support/pictures.js";

let fleet: FleetProcesses;
let store: FolderStore;
let workers: ScriptedWorker[] = [];

beforeEach(async () => {
  fleet = await FleetProcesses.start();
  store = await FolderStore.open(join(fleet.folder, "home", "store"));
  await serves();
});

afterEach(async () => {
  for (const worker of workers) worker.kill();
  workers = [];
  await fleet.stop();
});

async function serves(): Promise<void> {
  await until("the coordinator serves", () => fleet.coordinator.output.includes('"serving"'));
  await until("the client has reached it", () =>
    fleet.client.workers().then(
      () => true,
      () => false,
    ),
  );
}

function addWorker(id: string, shardMs = 2): ScriptedWorker {
  const worker = new ScriptedWorker({ id, address: `127.0.0.1:${fleet.port}`, store, shardMs });
  workers.push(worker);
  return worker;
}

function request(name: string, more: Partial<JobRequest> = {}): JobRequest {
  return {
    name,
    ...{ model: "1-1-1-1x0.5", data: "/data", steps: 6, batch: 8, shards: 4 },
    ...{ resize: 36, crop: 32, rate: 0.03, checkpointEvery: 2 },
    ...more,
  };
}

async function ended(name: string): Promise<JobStatus> {
  let last: JobStatus | undefined;
  for await (const status of fleet.client.watch(name)) last = status;
  if (last === undefined) throw new Error(`nothing was heard of ${name}`);
  return last;
}

async function linesOf(name: string): Promise<readonly LogLine[]> {
  const lines: LogLine[] = [];
  for await (const line of fleet.client.logs(name, { follow: true })) lines.push(line);
  return lines;
}

/** Numbered without gap or repetition. */
function expectNumbered(lines: readonly LogLine[]): void {
  expect(lines.map(({ sequence }) => sequence)).toEqual(lines.map((_, i) => i + 1));
}

const stepsIn = (lines: readonly LogLine[]): readonly unknown[] =>
  lines
    .filter(({ fields }) => fields["loss"] !== undefined && fields["rate"] !== undefined)
    .map(({ fields }) => fields["step"]);

test("a job is previewed, submitted, watched to its end, read, exported and used", async () => {
  const worker = addWorker("w1");
  await fleet.waitForWorkers(1);
  const updates = [];
  for await (const update of fleet.client.preview(request("first"))) updates.push(update);
  const { preview } = updates.at(-1) ?? {};
  expect(preview).toMatchObject({
    classes: ["apple", "pear"],
    trainingExamples: 40,
    validationExamples: 10,
  });
  expect(preview?.lines.join("\n")).toContain("2 classes");

  expect(await fleet.client.submit(request("first"), "request-1")).toMatchObject({
    name: "first",
    steps: 6,
  });
  const status = await ended("first");
  expect(status).toMatchObject({ state: "done", reason: "", step: 6, attempt: 1 });
  expect(status.evaluations).toEqual([expect.objectContaining({ step: 6, correct: 9, total: 10 })]);
  // The preview had the data read already.
  expect(worker.tasks.filter(({ kind }) => kind === "index")).toHaveLength(1);

  const lines = await linesOf("first");
  expectNumbered(lines);
  expect(stepsIn(lines)).toHaveLength(6);
  expect(lines.at(-1)?.message).toContain("done");

  const file = join(fleet.folder, "first.npz");
  expect(await fleet.client.exportWeights("first", file, { force: true })).toBe(toyWeights.length);
  expect((await readFile(file)).equals(toyWeights)).toBe(true);

  await writePictures(join(fleet.folder, "pictures"), { classes: 2, perClass: 1 });
  const pictures = (await FolderStore.open(join(fleet.folder, "pictures"))).list("");
  const files = (await pictures).map((name) => join(fleet.folder, "pictures", name));
  const predictions = await fleet.client.predict("first", files);
  expect(predictions).toHaveLength(files.length);
  expect(predictions[0]?.scores.map(({ probability }) => probability)).toEqual([0.75, 0.25]);
  expect(await store.list("predict/")).toEqual([]);
});

test("what cannot be done is refused in a sentence that names it", async () => {
  addWorker("w1");
  await fleet.waitForWorkers(1);
  await fleet.client.submit(request("taken"), "request-1");
  const { client } = fleet;
  await expect(client.submit(request("taken"), "request-2")).rejects.toThrow(
    "name taken is in use",
  );
  await expect(client.job("nobody")).rejects.toThrow("there is no job nobody");
  await expect(client.submit(request("lost", { data: "/nowhere" }))).rejects.toThrow(
    "/nowhere is no folder",
  );
  await expect(client.submit(request("lost", { shards: 3 }))).rejects.toThrow(
    "8 cannot be cut into 3 shards",
  );
  await expect(client.submit(request("lost", { weights: "job:nobody" }))).rejects.toThrow(
    "there is no job nobody",
  );
  await ended("taken");
  await expect(
    client.submit(request("lost", { weights: "job:taken", model: "R50x1" })),
  ).rejects.toThrow("job:taken, a 1-1-1-1x0.5, but model is R50x1");
  await expect(client.cancel("taken")).rejects.toThrow("job taken cannot be cancelled: it is done");
  await expect(client.resume("taken")).rejects.toThrow("job taken cannot be resumed: it is done");
  expect((await client.jobs()).map(({ name }) => name)).toEqual(["taken"]);
});

test("the same request again, at once or later, makes one job and is answered alike", async () => {
  addWorker("w1");
  await fleet.waitForWorkers(1);
  const once = fleet.client.submit(request("same"), "request-1");
  const twice = fleet.client.submit(request("same"), "request-1");
  const rival = fleet.client.submit(request("same"), "request-2");
  await expect(rival).rejects.toThrow("name same is in use");
  expect((await once).name).toBe((await twice).name);
  await ended("same");
  expect(await fleet.client.submit(request("same"), "request-1")).toMatchObject({ state: "done" });
  expect(await fleet.client.jobs()).toHaveLength(1);
});

test("a job without workers says what it waits for, and index tasks name the way out", async () => {
  await expect(fleet.client.submit(request("alone"))).rejects.toThrow(
    "bitfleet worker --join 127.0.0.1:",
  );
});

test("a cancelled job keeps its last step, and goes on from it when resumed", async () => {
  addWorker("w1", 10);
  await fleet.waitForWorkers(1);
  await fleet.client.submit(request("stopped", { steps: 30, checkpointEvery: 100 }));
  await until("step 3", async () => (await fleet.client.job("stopped")).step >= 3);
  await fleet.client.cancel("stopped");
  const cancelled = await ended("stopped");
  expect(cancelled.state).toBe("cancelled");
  expect(cancelled.checkpointStep).toBe(cancelled.step);
  expect(cancelled.step).toBeLessThan(30);
  await fleet.client.resume("stopped");
  expect(await ended("stopped")).toMatchObject({ state: "done", step: 30, attempt: 2 });
  const lines = await linesOf("stopped");
  expectNumbered(lines);
  expect(new Set(stepsIn(lines)).size).toBe(30);
  expect(stepsIn(lines)).toHaveLength(30);
});

test("when a worker dies the other takes over its shards and finishes the job", async () => {
  addWorker("w1", 10);
  const doomed = addWorker("w2", 10);
  await fleet.waitForWorkers(2);
  await fleet.client.submit(request("shared", { steps: 20, minWorkers: 1 }));
  await until("both work", async () => {
    const { workers: count, step } = await fleet.client.job("shared");
    return count === 2 && step >= 2;
  });
  doomed.kill();
  const killedMs = performance.now();
  const { step } = await fleet.client.job("shared");
  await until("the next step", async () => (await fleet.client.job("shared")).step > step + 1);
  expect(performance.now() - killedMs).toBeLessThan(6000);
  expect(await ended("shared")).toMatchObject({ state: "done", step: 20, attempt: 1 });
});

test("a coordinator that is killed in the middle of a job goes on with it, under a higher term", async () => {
  const worker = addWorker("w1", 20);
  await fleet.waitForWorkers(1);
  await fleet.client.submit(request("survivor", { steps: 40, checkpointEvery: 1000 }));
  const following = linesOf("survivor");
  following.catch(() => undefined);
  await until("step 5", async () => (await fleet.client.job("survivor")).step >= 5);
  fleet.coordinator.kill("SIGKILL");
  await fleet.coordinator.ended;
  const { step } = worker;
  fleet.restartCoordinator();
  await serves();
  expect(await ended("survivor")).toMatchObject({ state: "done", step: 40, attempt: 1 });
  // Not one of the steps that the worker held was computed again, and the state was loaded only once.
  expect(step).toBeGreaterThanOrEqual(5);
  expect(worker.heard.filter(({ command }) => command.kind === "load")).toHaveLength(1);
  const terms = worker.heard.map(({ term }) => term);
  expect(terms).toEqual(terms.toSorted((a, b) => a - b));
  expect(new Set(terms)).toEqual(new Set([1, 2]));
  expectNumbered(await following);
});

test("a coordinator that is killed twice in a row, once before it serves, loses no job", async () => {
  addWorker("w1", 5);
  await fleet.waitForWorkers(1);
  await fleet.client.submit(request("one", { steps: 30 }));
  await fleet.client.submit(request("two", { steps: 3 }));
  fleet.coordinator.kill("SIGKILL");
  await fleet.coordinator.ended;
  fleet.restartCoordinator();
  await until("it starts", () => fleet.coordinator.output.includes("answering HTTP"));
  fleet.coordinator.kill("SIGKILL");
  await fleet.coordinator.ended;
  fleet.restartCoordinator();
  await serves();
  expect((await ended("one")).state).toBe("done");
  expect((await ended("two")).state).toBe("done");
});

test("through five kills of the coordinator every step has one line, as in a job that nobody disturbs", async () => {
  addWorker("w1", 15);
  addWorker("w2", 15);
  await fleet.waitForWorkers(2);
  const steps = 60;
  await fleet.client.submit(request("calm", { steps, checkpointEvery: 1000 }));
  expect((await ended("calm")).state).toBe("done");
  await fleet.client.submit(request("shaken", { steps, checkpointEvery: 1000 }));
  const slowest: number[] = [];
  for (let kill = 1; kill <= 5; kill += 1) {
    const { step } = await fleet.client.job("shaken");
    await until("a few more steps", async () => {
      const now = await fleet.client.job("shaken").catch(() => undefined);
      return now !== undefined && (now.step > step + kill || now.state === "done");
    });
    fleet.coordinator.kill("SIGKILL");
    await fleet.coordinator.ended;
    fleet.restartCoordinator();
    await serves();
    const servesMs = performance.now();
    await until("training goes on", async () => {
      const { state } = await fleet.client.job("shaken");
      return state !== "waiting";
    });
    slowest.push(performance.now() - servesMs);
  }
  expect(await ended("shaken")).toMatchObject({ state: "done", step: steps, attempt: 1 });
  const told = async (job: string): Promise<readonly unknown[]> =>
    (await linesOf(job))
      .filter(({ message }) => /^step \d|^evaluation at/.test(message))
      .map(({ message, fields: { step, epoch, loss, rate } }) => [
        message,
        step,
        epoch,
        loss,
        rate,
      ]);
  expect(await told("shaken")).toEqual(await told("calm"));
  expect(Math.max(...slowest)).toBeLessThan(5000);
}, 120_000);
