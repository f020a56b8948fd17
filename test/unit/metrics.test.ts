import { expect, test } from "vitest";
import { endedKeptMs } from "../../coordinator/gauges.js";
import { CoordinatorMetrics } from "../../coordinator/metrics.js";
import { newCounters } from "../../src/exchange/counters.js";
import { serveWorkerHttp } from "../../worker/http.js";
import { WorkerMetrics } from "../../worker/metrics.js";
import { samplesIn, valueOf, type Sample } from "../support/scrape.js";
import { FleetDriver } from "./fleetDriver.js";
import { trainToEnd } from "./trained.js";

class MeteredDriver extends FleetDriver {
  readonly metrics = new CoordinatorMetrics();

  override happens(event: Parameters<FleetDriver["happens"]>[0]): void {
    const before = this.fleet;
    super.happens(event);
    this.metrics.take(before, this.fleet, event);
  }

  async scrape(wallMs = 1e12 + this.nowMs): Promise<readonly Sample[]> {
    const text = await this.metrics.text({
      ...{ fleet: this.fleet, isLeader: true, term: 3, nowMs: this.nowMs, wallMs },
      disk: { freeBytes: 25, sizeBytes: 100 },
    });
    return samplesIn(text);
  }
}

function trained(): MeteredDriver {
  const driver = new MeteredDriver();
  driver.start(["a", "b"]);
  trainToEnd(driver);
  return driver;
}

test("counters and gauges of a job say what happened", async () => {
  const samples = await trained().scrape();
  const job = { job: "job" };
  expect(valueOf(samples, "bitfleet_steps_total", job)).toBe(3);
  expect(valueOf(samples, "bitfleet_images_total", job)).toBe(48);
  expect(valueOf(samples, "bitfleet_step_duration_seconds_count", job)).toBe(3);
  expect(
    valueOf(samples, "bitfleet_step_phase_duration_seconds_count", { ...job, phase: "compute" }),
  ).toBe(6);
  expect(valueOf(samples, "bitfleet_saves_total", { ...job, what: "checkpoint" })).toBe(1);
  expect(valueOf(samples, "bitfleet_saves_total", { ...job, what: "weights" })).toBe(1);
  expect(valueOf(samples, "bitfleet_job_step", job)).toBe(3);
  expect(valueOf(samples, "bitfleet_job_steps", job)).toBe(3);
  expect(valueOf(samples, "bitfleet_job_loss", job)).toBe(0.5);
  expect(valueOf(samples, "bitfleet_job_state", { ...job, state: "done" })).toBe(1);
  expect(valueOf(samples, "bitfleet_job_state", job)).toBe(1);
  expect(valueOf(samples, "bitfleet_jobs", { state: "done" })).toBe(1);
  expect(valueOf(samples, "bitfleet_jobs_ended_total", { state: "done" })).toBe(1);
  expect(valueOf(samples, "bitfleet_workers", { state: "idle" })).toBe(2);
  expect(valueOf(samples, "bitfleet_coordinator_is_leader")).toBe(1);
  expect(valueOf(samples, "bitfleet_coordinator_term")).toBe(3);
  expect(valueOf(samples, "bitfleet_nats_up")).toBe(1);
  expect(valueOf(samples, "bitfleet_store_free_bytes")).toBe(25);
  expect(valueOf(samples, "process_resident_memory_bytes")).toBeGreaterThan(0);
});

test("the series of a job go some minutes after its end, those of a worker with it", async () => {
  const driver = trained();
  driver.say("b", { kind: "leave", reason: "asked" });
  const last = await driver.scrape(1e12 + driver.nowMs + endedKeptMs - 1000);
  expect(valueOf(last, "bitfleet_steps_total", { job: "job" })).toBe(3);
  expect(last.filter(({ labels }) => labels["worker"] === "b")).toEqual([]);
  expect(last.filter(({ labels }) => labels["worker"] === "a")).not.toEqual([]);
  const after = await driver.scrape(1e12 + driver.nowMs + endedKeptMs);
  expect(after.filter(({ labels }) => labels["job"] === "job")).toEqual([]);
  expect(valueOf(after, "bitfleet_jobs_ended_total", { state: "done" })).toBe(1);
});

test("a standby has a text too, and leads nothing", async () => {
  const text = await new CoordinatorMetrics().text({
    ...{ fleet: undefined, isLeader: false, term: 0, nowMs: 0, wallMs: 0, disk: undefined },
  });
  expect(valueOf(samplesIn(text), "bitfleet_coordinator_is_leader")).toBe(0);
});

test("names are of the field: a prefix, base units, and _total on counters alone", async () => {
  const own = [...(await trained().scrape()), ...samplesIn(await new WorkerMetrics().text())];
  const bad = own.filter(({ family, type }) => {
    if (!family.startsWith("bitfleet_")) return false;
    if (type === "UNTYPED") return !/_seconds_(bucket|sum|count)$/.test(family);
    return family.endsWith("_total") !== (type === "COUNTER");
  });
  expect(bad.map(({ family }) => family)).toEqual([]);
});

test("what the exchange of one process has counted is added to that of the one before", async () => {
  const metrics = new WorkerMetrics();
  for (const [stale, sent] of [
    [1, 10],
    [3, 40],
  ] as const) {
    metrics.hear({ kind: "counted", exchange: { ...newCounters(), stale, dataBytesSent: sent } });
  }
  metrics.childEnded({ code: 0, signal: null });
  metrics.childStarted();
  metrics.hear({ kind: "counted", exchange: { ...newCounters(), stale: 2, dataBytesSent: 5 } });
  const samples = samplesIn(await metrics.text());
  expect(valueOf(samples, "bitfleet_exchange_frames_dropped_total", { reason: "stale" })).toBe(5);
  expect(valueOf(samples, "bitfleet_exchange_bytes_total", { direction: "sent" })).toBe(45);
  expect(valueOf(samples, "bitfleet_worker_job_process_ends_total", { how: "clean" })).toBe(1);
});

test("a worker is alive before it is ready, and says why it is not", async () => {
  let reason: string | undefined = "no coordinator";
  const http = await serveWorkerHttp({
    address: { host: "127.0.0.1", port: 0 },
    unready: () => reason,
    metrics: new WorkerMetrics(),
  });
  try {
    const get = (path: string): Promise<Response> => fetch(`http://127.0.0.1:${http.port}${path}`);
    expect((await get("/healthz")).status).toBe(200);
    const waiting = await get("/readyz");
    expect([waiting.status, await waiting.json()]).toEqual([503, { ready: false, reason }]);
    reason = undefined;
    expect((await get("/readyz")).status).toBe(200);
    const scraped = await get("/metrics");
    expect(scraped.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(samplesIn(await scraped.text()).length).toBeGreaterThan(5);
    expect((await get("/status")).status).toBe(404);
  } finally {
    await http.close();
  }
});
