import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { anyPort } from "../../src/process/port.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";
import { samplesIn, valueOf, type Sample } from "../support/scrape.js";

let fleet: FleetProcesses;
const ports = new Map<string, number>();

beforeAll(async () => {
  fleet = await FleetProcesses.start();
  await writePictures(join(fleet.folder, "pictures"), { classes: 2, perClass: 20 });
  for (const id of ["w1", "w2"]) {
    const port = await anyPort();
    ports.set(id, port);
    fleet.addWorker(id, { BITFLEET_WORKER_HTTP_PORT: String(port) });
  }
  await fleet.waitForWorkers(2);
}, 60_000);

afterAll(() => fleet.stop());

async function scrape(port: number): Promise<readonly Sample[]> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(response.status).toBe(200);
  return samplesIn(await response.text());
}

async function workers(): Promise<readonly (readonly Sample[])[]> {
  return Promise.all([...ports.values()].map(scrape));
}

function total(
  all: readonly (readonly Sample[])[],
  family: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  return all.reduce((sum, samples) => sum + (valueOf(samples, family, labels) ?? 0), 0);
}

test("the counters of coordinator and workers are what a job on two workers came to", async () => {
  const job = "counted";
  expect(valueOf(await scrape(fleet.httpPort), "bitfleet_steps_total")).toBeUndefined();
  for (const port of ports.values()) {
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
  }
  await fleet.client.submit({
    ...{ name: job, model: "1-1-1-1x0.5", data: join(fleet.folder, "pictures"), seed: 5 },
    ...{ steps: 8, batch: 12, shards: 6, resize: 36, crop: 32, rate: 0.003 },
    ...{ checkpointEvery: 3, minWorkers: 2, audit: 0 },
  });
  await until("the end", async () => (await fleet.client.job(job)).state === "done", 150_000);
  await until("both workers idle", async () =>
    (await fleet.client.workers()).every(({ state }) => state === "idle"),
  );

  const now = await scrape(fleet.httpPort);
  const own = { job };
  expect(valueOf(now, "bitfleet_steps_total", own)).toBe(8);
  expect(valueOf(now, "bitfleet_images_total", own)).toBe(96);
  expect(valueOf(now, "bitfleet_step_duration_seconds_count", own)).toBe(8);
  expect(valueOf(now, "bitfleet_saves_total", { job, what: "checkpoint" })).toBe(2);
  expect(valueOf(now, "bitfleet_saves_total", { job, what: "weights" })).toBe(1);
  expect(valueOf(now, "bitfleet_saved_bytes_total", { job, what: "weights" })).toBeGreaterThan(0);
  expect(valueOf(now, "bitfleet_job_step", own)).toBe(8);
  expect(valueOf(now, "bitfleet_jobs_ended_total", { state: "done" })).toBe(1);
  expect(valueOf(now, "bitfleet_worker_joins_total")).toBe(2);

  const all = await workers();
  expect(total(all, "bitfleet_worker_images_total", { round: "training" })).toBe(96);
  expect(total(all, "bitfleet_worker_shards_total", { round: "training" })).toBe(48);
  expect(total(all, "bitfleet_worker_updates_total")).toBe(16);
  expect(total(all, "bitfleet_exchange_duration_seconds_count")).toBe(16);
  expect(total(all, "bitfleet_write_duration_seconds_count", { what: "checkpoint" })).toBe(2);
  expect(total(all, "bitfleet_written_bytes_total")).toBe(
    total([now], "bitfleet_saved_bytes_total"),
  );
  expect(total(all, "bitfleet_worker_job_processes_total")).toBe(2);
  const sent = total(all, "bitfleet_exchange_bytes_total", { direction: "sent" });
  expect(sent).toBeGreaterThan(0);
  expect(sent).toBeGreaterThanOrEqual(
    total(all, "bitfleet_exchange_bytes_total", { direction: "received" }),
  );
}, 240_000);

test("a worker without a coordinator is alive and not ready", async () => {
  await fleet.coordinator.stop();
  const [port = 0] = ports.values();
  const ready = `http://127.0.0.1:${port}/readyz`;
  await until("not ready", async () => (await fetch(ready)).status === 503);
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  expect(valueOf(await scrape(port), "bitfleet_worker_connected")).toBe(0);
});
