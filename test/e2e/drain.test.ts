import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JobRequest } from "../../src/job/settings.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";

let fleet: FleetProcesses;

beforeAll(async () => {
  fleet = await FleetProcesses.start();
  await writePictures(join(fleet.folder, "pictures"), { classes: 2, perClass: 20 });
}, 60_000);

afterAll(() => fleet.stop());

function request(name: string, more: Partial<JobRequest> = {}): JobRequest {
  return {
    name,
    ...{ model: "1-1-1-1x0.5", data: join(fleet.folder, "pictures"), seed: 5, steps: 60 },
    ...{ batch: 12, shards: 6, resize: 36, crop: 32, rate: 0.003, checkpointEvery: 1000 },
    ...more,
  };
}

async function reached(name: string, step: number): Promise<void> {
  await until(
    `step ${step} of ${name}`,
    async () => (await fleet.client.job(name)).step >= step,
    150_000,
  );
}

/** SIGTERM, and the exit code; another of the same name follows where one is wanted. */
async function terminate(id: string, again: boolean): Promise<number | null> {
  const worker = fleet.workers.get(id);
  worker?.kill("SIGTERM");
  const ended = await worker?.ended;
  fleet.workers.delete(id);
  if (again) fleet.addWorker(id);
  return ended?.code ?? null;
}

async function linesOf(name: string): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const { message } of fleet.client.logs(name)) lines.push(message);
  return lines;
}

async function exported(name: string): Promise<Buffer> {
  const file = join(fleet.folder, `${name}.npz`);
  await fleet.client.exportWeights(name, file, { force: true });
  return readFile(file);
}

test("workers that get SIGTERM in turn end with 0, and no step is done twice or lost", async () => {
  const ids = ["w1", "w2", "w3"];
  fleet.addWorker("w1");
  await fleet.waitForWorkers(1);
  await fleet.client.submit(request("undisturbed"));
  await until(
    "done",
    async () => (await fleet.client.job("undisturbed")).state === "done",
    150_000,
  );

  for (const id of ids.slice(1)) fleet.addWorker(id);
  await fleet.waitForWorkers(3);
  await fleet.client.submit(request("drained", { minWorkers: 2 }));
  const codes: (number | null)[] = [];
  for (const [turn, id] of [...ids, ...ids].entries()) {
    await reached("drained", 3 + 6 * turn + Math.floor(4 * Math.random()));
    await until("two", async () => (await fleet.client.job("drained")).workers >= 2, 150_000);
    codes.push(await terminate(id, true));
  }
  await until("done", async () => (await fleet.client.job("drained")).state === "done", 150_000);
  expect(codes).toEqual([0, 0, 0, 0, 0, 0]);
  const lines = await linesOf("drained");
  const steps = lines.filter((line) => /^step \d+ of/.test(line));
  expect(steps).toEqual(Array.from({ length: 60 }, (_, i) => `step ${i + 1} of 60`));
  expect(lines.filter((line) => / leaves at step \d+$/.test(line)).length).toBeGreaterThan(2);
  expect(lines.join("\n")).not.toMatch(/is lost|goes back|take over|attempt 2/);
  expect((await exported("drained")).equals(await exported("undisturbed"))).toBe(true);
}, 400_000);

test("the last worker saves its state before it leaves, and another goes on from that very step", async () => {
  for (const id of ["w1", "w2"]) expect(await terminate(id, false)).toBe(0);
  await fleet.client.submit(request("alone"));
  await reached("alone", 20);
  const drained = await fleet.bitfleet("drain", "w3");
  expect(drained.code).toBe(0);
  expect(drained.output).toContain("w3 is leaving");
  expect((await fleet.workers.get("w3")?.ended)?.code).toBe(0);
  fleet.workers.delete("w3");
  const waiting = await fleet.client.job("alone");
  expect(waiting).toMatchObject({ state: "waiting", checkpointStep: waiting.step });
  expect(waiting.step).toBeGreaterThanOrEqual(20);
  fleet.addWorker("w4");
  await until("done", async () => (await fleet.client.job("alone")).state === "done", 150_000);
  const steps = (await linesOf("alone")).filter((line) => /^step \d+ of/.test(line));
  expect(steps).toEqual(Array.from({ length: 60 }, (_, i) => `step ${i + 1} of 60`));
  expect((await exported("alone")).equals(await exported("undisturbed"))).toBe(true);
}, 200_000);
