import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";

let fleet: FleetProcesses;

beforeAll(async () => {
  fleet = await FleetProcesses.start();
  await writePictures(join(fleet.folder, "pictures"), { classes: 2, perClass: 30 });
  fleet.addWorker("first");
  fleet.addWorker("second");
  await fleet.waitForWorkers(2);
}, 60_000);

afterAll(() => fleet.stop());

function jobRequest() {
  return {
    ...{ model: "1-1-1-1x0.5", data: join(fleet.folder, "pictures"), crop: 32, resize: 36 },
    ...{ batch: 32, shards: 4, rate: 0.003 },
  };
}

const tiny = ["--model", "1-1-1-1x0.5", "--batch", "32", "--shards", "4"];
const small = [...tiny, "--resize", "36", "--crop", "32", "--no-flip"];

test("the command line takes a job from dry run to prediction", async () => {
  const data = ["--data", join(fleet.folder, "pictures")];
  const common = ["--name", "story", ...data, ...small, "--steps", "6", "--rate", "0.03"];
  const dry = await fleet.bitfleet("submit", ...common, "--dry-run");
  expect(dry.code).toBe(0);
  expect(dry.output).toMatch(/class-0/);
  expect((await fleet.client.jobs()).length).toBe(0);

  const watched = await fleet.bitfleet("submit", ...common, "--eval-every", "3", "--watch");
  expect(watched.output).toMatch(/step 6\/6|6 of 6/);
  expect(watched.code).toBe(0);

  const status = await fleet.bitfleet("status", "story", "--json");
  const parsed: unknown = JSON.parse(status.output);
  expect(parsed).toMatchObject({ state: "done", step: 6, steps: 6, generation: 1 });
  expect(status.output).toMatch(/"parameterDigest":\s*"[0-9a-f]{64}"/);

  const logs = await fleet.bitfleet("logs", "story");
  expect(logs.output).toMatch(/step/);

  const file = join(fleet.folder, "story.npz");
  expect((await fleet.bitfleet("export", "story", "--out", file)).code).toBe(0);
  expect((await readFile(file)).subarray(0, 2).toString()).toBe("PK");

  const evaluated = await fleet.bitfleet("evaluate", "story");
  expect(evaluated.output).toMatch(/\d+\/6\b/);
  expect(evaluated.code).toBe(0);

  const picture = join(fleet.folder, "pictures", "class-1", "3.png");
  const predicted = await fleet.bitfleet("predict", "story", picture);
  expect(predicted.output).toMatch(/class-[01]/);
  expect(predicted.code).toBe(0);
  const bad = join(fleet.folder, "bad.png");
  await writeFile(bad, "a text");
  const partly = await fleet.bitfleet("predict", "story", bad, picture);
  expect(partly.output).toContain(`the picture ${bad} cannot be read: `);
  expect(partly.output).toMatch(/class-[01] \d/);
  expect(partly.code).toBe(1);
}, 120_000);

test("a job that needs all workers keeps the others in the queue, and a cancelled one leaves it", async () => {
  const request = jobRequest();
  await fleet.client.submit({ ...request, name: "long", steps: 5000, minWorkers: 2 });
  await fleet.client.submit({ ...request, name: "next", steps: 2 });
  await fleet.client.submit({ ...request, name: "unwanted", steps: 2 });
  await until("training", async () => (await fleet.client.job("long")).step > 0);
  expect(await fleet.client.job("next")).toMatchObject({ state: "queued", step: 0 });
  await fleet.client.cancel("unwanted");
  expect(await fleet.client.job("unwanted")).toMatchObject({ state: "cancelled" });
  await fleet.client.cancel("long");
  await until("long cancelled", async () => (await fleet.client.job("long")).state === "cancelled");
  expect((await fleet.client.job("long")).checkpointStep).toBeGreaterThan(0);
  await until("next done", async () => (await fleet.client.job("next")).state === "done");
}, 120_000);

test("two jobs share the workers, and a cancel touches one alone", async () => {
  const request = jobRequest();
  await fleet.client.submit({ ...request, name: "kept", steps: 12, seed: 3 });
  await fleet.client.submit({ ...request, name: "stopped", steps: 5000 });
  await until("both train", async () => {
    const jobs = [await fleet.client.job("kept"), await fleet.client.job("stopped")];
    return jobs.every(({ step, workers }) => step > 0 && workers === 1);
  });
  const { attempt } = await fleet.client.job("kept");
  await fleet.client.cancel("stopped");
  await until("stopped cancelled", async () => {
    return (await fleet.client.job("stopped")).state === "cancelled";
  });
  await until("kept done", async () => (await fleet.client.job("kept")).state === "done");
  const shared = await fleet.client.job("kept");
  expect(shared.attempt).toBe(attempt);
  await fleet.client.submit({ ...request, name: "alone", steps: 12, seed: 3 });
  await until("alone done", async () => (await fleet.client.job("alone")).state === "done");
  expect((await fleet.client.job("alone")).parameterDigest).toBe(shared.parameterDigest);
}, 180_000);

test("logs are read and followed after the workers are gone", async () => {
  for (const id of ["first", "second"]) await fleet.removeWorker(id);
  const lines: number[] = [];
  for await (const line of fleet.client.logs("story", { follow: true })) lines.push(line.sequence);
  expect(lines.length).toBeGreaterThan(8);
  expect(lines).toEqual(lines.map((_, i) => i + 1));
}, 30_000);
