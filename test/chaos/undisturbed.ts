/** What the same job does when nothing is done to it. */
import { chaosBatch, chaosJob } from "./job.js";
import type { ChaosFleet } from "./fleet.js";
import { Follower } from "./follower.js";
import type { Commit } from "./ledger.js";

/** Steps that are left out: the first ones wait for memory to be laid out, for caches and for measurements. */
const warmUpSteps = 5;
/** More than any measurement gets through. */
const endless = 1_000_000;

export interface Undisturbed {
  readonly examplesPerSecond: number;
  readonly stepMs: number;
  /** From the submission to the first commit. */
  readonly startMs: number;
}

/** Runs the job with as many workers as there are, for so long, and cancels it. */
export async function measureUndisturbed(
  fleet: ChaosFleet,
  forMs: number,
  signal: AbortSignal,
): Promise<Undisturbed> {
  const name = "measured";
  const submittedMs = Date.now();
  await fleet.client.submit(chaosJob(fleet.folder, name, endless));
  const follower = new Follower(fleet.client, name, signal);
  await follower.committed(warmUpSteps + 1);
  const at = (commit: Commit | undefined): number => commit?.atMs ?? 0;
  const first = at(follower.commits[warmUpSteps]);
  for (let steps = warmUpSteps + 2; Date.now() - first < forMs; steps += 1) {
    await follower.committed(steps);
  }
  const { commits } = follower;
  const stepMs = (at(commits.at(-1)) - first) / (commits.length - 1 - warmUpSteps);
  await fleet.client.cancel(name);
  await follower.ended;
  return {
    examplesPerSecond: (1000 * chaosBatch) / stepMs,
    stepMs,
    startMs: at(commits[0]) - submittedMs,
  };
}

/** Runs the job to its end. */
export async function runUndisturbed(
  fleet: ChaosFleet,
  name: string,
  { steps, signal }: { readonly steps: number; readonly signal: AbortSignal },
): Promise<Follower> {
  await fleet.client.submit(chaosJob(fleet.folder, name, steps));
  const follower = new Follower(fleet.client, name, signal);
  const { state, reason } = await follower.ended;
  if (state !== "done") throw new Error(`the undisturbed job ended ${state}: ${reason}`);
  return follower;
}
