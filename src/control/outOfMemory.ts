import { architecture } from "../bit/architecture.js";
import { expectedMemory } from "../job/memory.js";
import type { JobPlan } from "../job/plan.js";
import { fail } from "./ending.js";
import type { Member, Transition } from "./fleetState.js";
import { setAsideForAWhile, strike } from "./participation.js";
import { beginAttempt } from "./starting.js";
import { log, note, recordOf, runOf } from "./transition.js";

/**
 * A worker's memory is too small. Another micro-batch gives other bits, so all workers change to half
 * of it or none: all before the first commit, none after it, when the worker has to wait.
 */
export function outOfMemory(t: Transition, member: Member, message: string): Transition {
  const { workerId } = member;
  const { trail, checkpoints, plan } = recordOf(t);
  if (runOf(t).cancelled) return strike(t, member, message);
  if (trail.length > 0 || checkpoints.length > 0) return setAsideForAWhile(t, workerId, message);
  const { microBatch } = plan.settings;
  const smaller = largestHalf(microBatch, plan.shardSize);
  if (smaller === undefined) {
    return fail(t, `${workerId} has too little memory even for a micro-batch of 1: ${message}`);
  }
  const said = log(
    t,
    "warn",
    `${workerId} ran out of memory: the job begins again with a micro-batch of ${smaller} instead of ${microBatch} on all workers`,
    { worker: workerId, microBatch: smaller, reason: message },
  );
  return beginAttempt(note(said, { plan: withMicroBatch(plan, smaller), pin: undefined }));
}

/** The largest divisor of a shard that is at most half as much. */
function largestHalf(microBatch: number, shardSize: number): number | undefined {
  const half = Math.floor(microBatch / 2);
  return Array.from({ length: half }, (_, i) => half - i).find((size) => shardSize % size === 0);
}

function withMicroBatch(plan: JobPlan, microBatch: number): JobPlan {
  const { settings, classes } = plan;
  const model = architecture(settings.model);
  return {
    ...plan,
    settings: { ...settings, microBatch },
    memoryBytes: expectedMemory(model, classes.length, settings.crop, microBatch),
  };
}
