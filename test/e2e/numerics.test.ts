import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";

let fleet: FleetProcesses;

beforeAll(async () => {
  fleet = await FleetProcesses.start();
  await writePictures(join(fleet.folder, "pictures"), { classes: 2, perClass: 10 });
}, 60_000);

afterAll(() => fleet.stop());

test("a worker with other arithmetic waits as a spare, and `workers` says why", async () => {
  fleet.addWorker("same-a");
  fleet.addWorker("same-b");
  fleet.addWorker("threads", { TF_NUM_INTRAOP_THREADS: "2" });
  fleet.addWorker("older-isa", { ONEDNN_MAX_CPU_ISA: "AVX2" });
  await fleet.waitForWorkers(4);
  await fleet.client.submit({
    ...{ name: "pinned", model: "1-1-1-1x0.5", data: join(fleet.folder, "pictures") },
    ...{ steps: 400, batch: 16, shards: 4, resize: 36, crop: 32, rate: 0.003 },
  });
  await until("training", async () => (await fleet.client.job("pinned")).state === "training");
  const states = async (): Promise<Readonly<Record<string, string>>> =>
    Object.fromEntries((await fleet.client.workers()).map(({ id, state }) => [id, state]));
  const working = ["same-a", "same-b"];
  await until("two at work, two spares", async () =>
    Object.entries(await states()).every(
      ([id, state]) => state === (working.includes(id) ? "working" : "spare"),
    ),
  );
  const workers = new Map((await fleet.client.workers()).map((worker) => [worker.id, worker]));
  expect(workers.get("threads")?.reason).toContain("threads 2");
  expect(workers.get("older-isa")?.reason).toContain("ONEDNN_MAX_CPU_ISA=AVX2");
  await fleet.client.cancel("pinned");
  await until("cancelled", async () => (await fleet.client.job("pinned")).state === "cancelled");
}, 120_000);
