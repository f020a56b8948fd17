import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JobStatus } from "../../src/client/client.js";
import type { JobRequest } from "../../src/job/settings.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";

let fleet: FleetProcesses;

beforeAll(async () => {
  fleet = await FleetProcesses.start();
  await writePictures(join(fleet.folder, "pictures"), { classes: 3, perClass: 20 });
}, 60_000);

afterAll(() => fleet.stop());

function request(name: string, more: Partial<JobRequest> = {}): JobRequest {
  return {
    name,
    ...{ model: "1-1-1-1x0.5", data: join(fleet.folder, "pictures"), seed: 5 },
    ...{ steps: 6, batch: 20, shards: 5, resize: 36, crop: 32, mixup: 0.2, rate: 0.03 },
    ...{ checkpointEvery: 2, evalEvery: 3, examplesPerClass: 10 },
    ...more,
  };
}

async function ended(name: string): Promise<JobStatus> {
  let last: JobStatus | undefined;
  for await (const status of fleet.client.watch(name)) last = status;
  if (last?.state === "failed") throw new Error(`${name} failed: ${last.reason}`);
  if (last === undefined) throw new Error(`nothing was heard of ${name}`);
  return last;
}

async function exported(name: string): Promise<Buffer> {
  const file = join(fleet.folder, `${name}.npz`);
  await fleet.client.exportWeights(name, file, { force: true });
  return readFile(file);
}

async function workersOfLastStep(name: string): Promise<unknown> {
  let workers: unknown;
  for await (const { fields } of fleet.client.logs(name)) {
    if (fields["loss"] !== undefined && fields["workers"] !== undefined)
      workers = fields["workers"];
  }
  return workers;
}

/** Lines of the log that must not depend on who did the work. */
async function story(name: string): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const { message, fields } of fleet.client.logs(name)) {
    const line = ["step", "loss", "rate", "epoch", "correct", "total"].map((key) => fields[key]);
    if (fields["loss"] !== undefined) lines.push(JSON.stringify([message, ...line]));
  }
  return lines;
}

test("one job gives the same bytes on 1, 2, 3 and 5 workers, and when a worker dies or it is resumed", async () => {
  const files = new Map<string, Buffer>();
  const stories = new Map<string, readonly string[]>();
  const digests = new Set<string>();
  const finish = async (name: string, workers: number): Promise<void> => {
    const status = await ended(name);
    expect(status).toMatchObject({ state: "done", step: 6 });
    expect(await workersOfLastStep(name)).toBe(workers);
    expect(status.evaluations.map(({ step }) => step)).toEqual([3, 6]);
    expect(status.evaluations.at(-1)?.total).toBeGreaterThan(0);
    digests.add(status.parameterDigest);
    files.set(name, await exported(name));
  };

  let running = 0;
  for (const count of [1, 2, 3, 5]) {
    for (; running < count; running += 1) fleet.addWorker(`worker-${running}`);
    await fleet.waitForWorkers(count);
    const name = `of-${count}`;
    await fleet.client.submit(request(name, { minWorkers: count }));
    await finish(name, count);
    stories.set(name, await story(name));
  }

  // Stopped in between and resumed with fewer workers.
  await fleet.client.submit(request("resumed", { minWorkers: 2 }));
  await until("step 3 of resumed", async () => (await fleet.client.job("resumed")).step >= 3);
  await fleet.client.cancel("resumed");
  expect((await ended("resumed")).state).toBe("cancelled");
  for (const id of ["worker-4", "worker-3", "worker-2"]) await fleet.removeWorker(id);
  await fleet.client.resume("resumed");
  await finish("resumed", 2);

  // Killed in the middle: the survivor finishes the step.
  await fleet.client.submit(request("killed"));
  await until("step 2 of killed", async () => (await fleet.client.job("killed")).step >= 2);
  fleet.workers.get("worker-1")?.kill("SIGKILL");
  const killed = await ended("killed");
  expect(killed).toMatchObject({ state: "done", step: 6, attempt: 1 });
  expect(await workersOfLastStep("killed")).toBe(1);
  digests.add(killed.parameterDigest);
  files.set("killed", await exported("killed"));

  const reference = files.get("of-1");
  expect(reference?.length).toBeGreaterThan(1_000_000);
  for (const [name, file] of files) expect(reference?.equals(file), `${name} by cmp`).toBe(true);
  expect(digests.size).toBe(1);
  for (const [name, lines] of stories) expect(lines, name).toEqual(stories.get("of-1"));
}, 240_000);
