import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { FolderStore } from "../../src/store/folderStore.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { ScriptedWorker } from "../support/scriptedWorker.js";

export interface WatchersResult {
  readonly name: "watchers";
  readonly watchers: number;
  readonly classes: number;
  /** How long /healthz took to answer, and how many times it was asked. */
  readonly medianMs: number;
  readonly worstMs: number;
  readonly asked: number;
  /** Statuses that a watcher got, on average. */
  readonly statuses: number;
}

const classes = 21_843;
const watchedMs = 15_000;

/** How fast a coordinator's process answers a probe while so many clients watch a job with as many classes as ImageNet-21k. */
export async function benchWatchers(watchers: number): Promise<WatchersResult> {
  const fleet = await FleetProcesses.start();
  const folder = join(fleet.folder, "home", "store");
  await mkdir(folder, { recursive: true });
  const store = await FolderStore.open(folder);
  const address = `127.0.0.1:${fleet.port}`;
  const worker = new ScriptedWorker({ id: "w0", address, store, shardMs: 20, classes });
  let clients: ChildProcess | undefined;
  const tookMs: number[] = [];
  let statuses = 0;
  try {
    await fleet.waitForWorkers(1);
    await fleet.client.submit({
      ...{ name: "toy", model: "1-1-1-1x0.5", data: "/data", crop: 32, resize: 36 },
      ...{ batch: 8, shards: 2, rate: 0.003, steps: 100_000 },
    });
    await until("it trains", async () => (await fleet.client.job("toy")).step > 0);
    const file = fileURLToPath(new URL("./watchersClients.js", import.meta.url));
    clients = fork(file, [address, "toy", String(watchers)]);
    // The first statuses, each with every class, are part of what is measured.
    const untilMs = performance.now() + watchedMs;
    while (performance.now() < untilMs) {
      const atMs = performance.now();
      const response = await fetch(`http://127.0.0.1:${fleet.httpPort}/healthz`);
      await response.text();
      if (!response.ok) throw new Error(`/healthz answers ${response.status}`);
      tookMs.push(performance.now() - atMs);
      await sleep(20);
    }
    clients.send("count");
    [statuses] = (await once(clients, "message")) as [number];
  } finally {
    clients?.kill("SIGKILL");
    worker.kill();
    await fleet.stop();
  }
  const sorted = tookMs.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(10 * (sorted[Math.floor(share * (sorted.length - 1))] ?? NaN)) / 10;
  return {
    ...{ name: "watchers", watchers, classes, medianMs: at(0.5), worstMs: at(1) },
    ...{ asked: sorted.length, statuses: Math.round((10 * statuses) / Math.max(1, watchers)) / 10 },
  };
}
