import { afterEach, beforeEach, expect, test } from "vitest";
import { Autoscaler } from "../../coordinator/autoscaler.js";
import { createLogger } from "../../src/process/logger.js";
import { ScaleApi } from "../support/scaleApi.js";
import { FleetDriver } from "./fleetDriver.js";
import { trainToEnd } from "./trained.js";

let api: ScaleApi;
let autoscaler: Autoscaler | undefined;

beforeEach(async () => {
  api = await ScaleApi.start();
});

afterEach(async () => {
  await autoscaler?.stop();
  await api.stop();
});

function start(driver: FleetDriver, downAfterMs: number): void {
  autoscaler = new Autoscaler({
    target: { statefulSet: "fleet-worker", min: 0, max: 3 },
    variables: api.variables,
    fleet: () => driver.fleet,
    logger: createLogger({}, "silent"),
    ...{ everyMs: 10, downAfterMs },
  });
}

async function replicas(count: number): Promise<void> {
  await expect.poll(() => api.replicas, { timeout: 10_000, interval: 10 }).toBe(count);
}

test("an empty queue has no workers, a job has as many as are allowed, and none once it is done", async () => {
  const driver = new FleetDriver();
  start(driver, 50);
  await replicas(0);
  driver.start(["a", "b"]);
  await replicas(3);
  trainToEnd(driver);
  await replicas(0);
});

test("workers are kept for a while after the job, and a refusal is tried again", async () => {
  const driver = new FleetDriver();
  driver.start(["a", "b"]);
  api.answer = 403;
  start(driver, 3_600_000);
  await expect.poll(() => api.asked.length, { timeout: 10_000 }).toBeGreaterThan(3);
  expect(api.replicas).toBe(1);
  api.answer = 200;
  await replicas(3);
  trainToEnd(driver);
  const before = api.asked.length;
  await expect.poll(() => api.asked.length, { timeout: 10_000 }).toBeGreaterThan(before + 3);
  expect(api.replicas).toBe(3);
});
