import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { FolderStore } from "../../src/store/folderStore.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { ScriptedWorker } from "../support/scriptedWorker.js";

export interface CommitResult {
  readonly name: "commit";
  readonly workers: number;
  readonly steps: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly worstMs: number;
}

const stepsSkipped = 100;

/**
 * From the moment that the last worker reports a step to the moment that the last one has its
 * commit: a coordinator's process with its NATS server, and workers over loopback that compute
 * nothing, all in this process so that one clock sees both.
 */
export async function benchCommit(workers: number, steps = 1_500): Promise<CommitResult> {
  const fleet = await FleetProcesses.start();
  const folder = join(fleet.folder, "home", "store");
  await mkdir(folder, { recursive: true });
  const store = await FolderStore.open(folder);
  const reportedMs: number[] = [];
  const committedMs: number[] = [];
  const scripted = Array.from(
    { length: workers },
    (_, i) =>
      new ScriptedWorker({
        ...{ id: `w${i}`, address: `127.0.0.1:${fleet.port}`, store, shardMs: 1 },
        onSaid: (event) => {
          if (event.kind === "report") reportedMs[event.step] = performance.now();
        },
        onHeard: (command) => {
          if (command.kind === "commit") committedMs[command.step] = performance.now();
        },
      }),
  );
  try {
    await fleet.waitForWorkers(workers);
    await fleet.client.submit({
      ...{ name: "toy", model: "1-1-1-1x0.5", data: "/data", crop: 32, resize: 36 },
      ...{ batch: 8 * workers, shards: 2 * workers, rate: 0.003, steps, minWorkers: workers },
    });
    await until("done", async () => (await fleet.client.job("toy")).state === "done", 120_000);
  } finally {
    for (const worker of scripted) worker.kill();
    await fleet.stop();
  }
  const times = committedMs.flatMap((atMs, step) => {
    const sinceMs = reportedMs[step];
    return sinceMs === undefined || step < stepsSkipped ? [] : [atMs - sinceMs];
  });
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    Math.round(1000 * (sorted[Math.floor(share * (sorted.length - 1))] ?? NaN)) / 1000;
  return {
    ...{ name: "commit", workers, steps: sorted.length },
    ...{ medianMs: at(0.5), p99Ms: at(0.99), worstMs: at(1) },
  };
}
