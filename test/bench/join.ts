import { join } from "node:path";
import { Follower } from "../chaos/follower.js";
import { FleetProcesses } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";

export interface JoinResult {
  readonly bench: "join";
  readonly model: string;
  /** Of a step with two members, before the third comes. */
  readonly stepMs: number;
  /** From the start of the third one's process until a step is told of three workers. */
  readonly joinMs: number;
  readonly stepsMeanwhile: number;
  /** The longest step meanwhile. */
  readonly longestMs: number;
  /** What that is more than a step before, in steps. The bar is 1. */
  readonly cost: number;
}

const model = "R50x1";
/** A shard waits for so long without need of the CPU, as if a device computed it. */
const slowSeconds = 0.5;
const stepsBefore = 12;
/** The first ones are left out: memory is laid out in them. */
const warmUpSteps = 4;
const endless = 100_000;

/**
 * What a join costs the members that train on: real processes over loopback, two of which train a model of 23 million
 * parameters when a third comes, takes their state and is dealt shards.
 */
export async function benchJoin(): Promise<JoinResult> {
  const fleet = await FleetProcesses.start();
  const ending = new AbortController();
  const environment = { BITFLEET_FAILPOINTS: `slow=${slowSeconds}@0*` };
  try {
    await writePictures(join(fleet.folder, "pictures"), { classes: 2, perClass: 8 });
    for (const id of ["w0", "w1"]) fleet.addWorker(id, environment);
    await fleet.waitForWorkers(2);
    await fleet.client.submit({
      ...{ name: "join", model, data: join(fleet.folder, "pictures"), steps: endless },
      ...{ batch: 12, shards: 6, microBatch: 2, threads: 1, resize: 36, crop: 32, rate: 0.003 },
    });
    const follower = new Follower(fleet.client, "join", ending.signal);
    const of3 = new Promise<number>((resolve) => {
      follower.onLine(({ timeMs, fields }) => {
        if (fields["workers"] === 3 && fields["step"] !== undefined) resolve(timeMs);
      });
    });
    await follower.committed(stepsBefore);
    const startMs = Date.now();
    fleet.addWorker("w2", environment);
    const joinedMs = await Promise.race([of3, follower.ended.then(failed)]);
    await follower.committed(follower.commits.length + 2);
    await fleet.client.cancel("join");
    await follower.ended;
    const times = follower.commits.map(({ atMs }) => atMs);
    const stepMs = median(gaps(times.slice(warmUpSteps, stepsBefore)));
    const before = times.findLastIndex((atMs) => atMs <= startMs);
    const meanwhile = gaps(times.slice(before, times.indexOf(joinedMs) + 1));
    const longestMs = Math.max(...meanwhile);
    return {
      ...{ bench: "join", model, stepMs: Math.round(stepMs), joinMs: joinedMs - startMs },
      ...{ stepsMeanwhile: meanwhile.length, longestMs },
      cost: Math.round((100 * (longestMs - stepMs)) / stepMs) / 100,
    };
  } finally {
    ending.abort();
    await fleet.stop();
  }
}

function failed({ state, reason }: { readonly state: string; readonly reason: string }): never {
  throw new Error(`the job ended ${state} before the join: ${reason}`);
}

function gaps(times: readonly number[]): number[] {
  return times.slice(1).map((atMs, i) => atMs - (times[i] ?? atMs));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}
