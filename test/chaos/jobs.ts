/** Many jobs, one after the other, and what each of them leaves behind. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hasEnded } from "../../src/control/record.js";
import { writePictures } from "../support/pictures.js";
import type { ChaosFleet } from "./fleet.js";
import { chaosJob } from "./job.js";
import type { KeptProcess } from "./keptProcess.js";
import { consumersLeft } from "./leftovers.js";
import { openFiles, residentBytes } from "./processes.js";

export interface JobsOutcome {
  readonly jobs: number;
  readonly secondsPerJob: number;
  readonly before: Footprint;
  readonly after: Footprint;
  readonly problems: readonly string[];
}

/** What the fleet has while no job is under way. */
interface Footprint {
  readonly processes: number;
  readonly temporaryFiles: number;
  readonly consumers: number;
  /** Open files by process. */
  readonly openFiles: Readonly<Record<string, number>>;
  readonly coordinatorBytes: number;
}

/** The first jobs load what stays loaded. */
const warmUpJobs = 3;
/** The memory that records and logs of a job may take, and what a garbage collector may be late with. */
const bytesPerJobMax = 256 * 1024;
const bytesMax = 48 * 1024 * 1024;
const settleMs = 10_000;

export async function runJobs(
  fleet: ChaosFleet,
  { jobs, workers }: { readonly jobs: number; readonly workers: number },
  { say, signal }: { readonly say: (line: string) => void; readonly signal: AbortSignal },
): Promise<JobsOutcome> {
  await writePictures(join(fleet.folder, "pictures"), { classes: 2, perClass: 12 });
  await fleet.scale(workers);
  for (let i = 0; i < warmUpJobs; i += 1) await oneJob(fleet, `first-${i}`, i, signal);
  const before = await settled(fleet, undefined);
  const startedMs = performance.now();
  for (let i = 0; i < jobs; i += 1) {
    await oneJob(fleet, `job-${i}`, i, signal);
    if (i % 10 === 9) say(`${i + 1} jobs`);
  }
  const secondsPerJob = (performance.now() - startedMs) / 1000 / jobs;
  const after = await settled(fleet, before);
  return { jobs, secondsPerJob, before, after, problems: differences(before, after, jobs) };
}

/** One that trains, one that is cancelled as it begins, one that only evaluates; each also predicts now and then. */
async function oneJob(
  fleet: ChaosFleet,
  name: string,
  i: number,
  signal: AbortSignal,
): Promise<void> {
  const { client } = fleet;
  const trained = "first-0";
  const isCancelled = i % 3 === 1;
  const isEvaluation = i % 3 === 2;
  const { name: submitted } = isEvaluation
    ? await client.evaluate(trained)
    : await client.submit({ ...chaosJob(fleet.folder, name, 1), batch: 12, shards: 3 });
  let state = "";
  for await (const status of client.watch(submitted, { signal })) {
    if (isCancelled && state === "" && !hasEnded(status.state)) await client.cancel(submitted);
    state = status.state;
  }
  signal.throwIfAborted();
  if (state !== (isCancelled ? "cancelled" : "done")) throw new Error(`${submitted} is ${state}`);
  if (i % 10 === 5) await client.predict(trained, [join(fleet.folder, "pictures/class-1/3.png")]);
}

/** Waits for the fleet to come back to what it had before; a process that ends takes its time. */
async function settled(fleet: ChaosFleet, before: Footprint | undefined): Promise<Footprint> {
  const deadline = performance.now() + settleMs;
  for (;;) {
    const now = await footprint(fleet);
    const isIdle = now.processes === fleet.posts.length + 2 && now.temporaryFiles === 0;
    const isSame =
      before === undefined || JSON.stringify(now.openFiles) === JSON.stringify(before.openFiles);
    if ((isIdle && isSame) || performance.now() > deadline) return now;
    await sleep(200);
  }
}

async function footprint(fleet: ChaosFleet): Promise<Footprint> {
  const parts = [fleet.coordinator, fleet.nats, ...fleet.posts.map(({ process }) => process)];
  const open = (part: KeptProcess): number => openFiles(part.pid ?? 0).length;
  return {
    processes: fleet.processes().length,
    temporaryFiles: readdirSync(fleet.temporaryFolder).length,
    consumers: await consumersLeft(fleet),
    openFiles: Object.fromEntries(parts.map((part) => [part.name, open(part)])),
    coordinatorBytes: residentBytes(fleet.coordinator.pid ?? 0),
  };
}

function differences(before: Footprint, after: Footprint, jobs: number): readonly string[] {
  const problems: string[] = [];
  if (after.processes > before.processes) {
    problems.push(`${after.processes} processes, before ${before.processes}`);
  }
  if (after.temporaryFiles > 0) problems.push(`${after.temporaryFiles} temporary files`);
  if (after.consumers > 0) problems.push(`${after.consumers} JetStream consumers`);
  for (const [name, count] of Object.entries(after.openFiles)) {
    // NATS opens a file more when a block of a stream is full.
    const more = count - (before.openFiles[name] ?? 0);
    if (more > (name === "nats" ? 5 : 1)) problems.push(`${name} has ${more} more files open`);
  }
  const grown = after.coordinatorBytes - before.coordinatorBytes;
  if (grown > bytesMax + jobs * bytesPerJobMax) {
    problems.push(`the coordinator has grown by ${Math.round(grown / 2 ** 20)} MiB`);
  }
  return problems;
}
