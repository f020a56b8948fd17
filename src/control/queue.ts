import { plural } from "../job/plural.js";
import type { Fleet, Transition } from "./fleetState.js";
import { hasEnded, type JobRecord } from "./record.js";
import {
  change,
  changeRecord,
  changeRun,
  emit,
  focus,
  log,
  note,
  recordOf,
  withoutKey,
} from "./transition.js";

/** The jobs that there are: they come, are cancelled and resumed. Who starts when: schedule.ts. */

function canCancel({ state }: JobRecord): boolean {
  return !hasEnded(state);
}

function canResume({ state }: JobRecord): boolean {
  return state === "failed" || state === "cancelled";
}

/** Puts a new job at the end of the queue; one whose name is taken, by whatever has become of that job, changes nothing. */
export function submit(t: Transition, record: JobRecord): Transition {
  if (t.fleet.records.has(record.name)) return t;
  const queued = change(t, {
    records: t.fleet.records.with({ ...record, order: lastOrder(t.fleet) + 1 }),
  });
  const { settings, schedule } = record.plan;
  return emit(queued, {
    kind: "log",
    job: record.name,
    level: "info",
    message: `submitted: ${settings.model}, ${plural(schedule.steps, "step")} of ${settings.batch}`,
    fields: { steps: schedule.steps, batch: settings.batch },
  });
}

/**
 * A job in the queue is cancelled at once, also where workers still let go of it after it failed;
 * one under way when they all have.
 */
export function cancel(t: Transition, job: string): Transition {
  const record = t.fleet.records.get(job);
  if (record === undefined || !canCancel(record)) return t;
  const run = t.fleet.runs.get(job);
  if (run === undefined || record.state === "queued") {
    return changeRecord(t, job, { state: "cancelled", reason: "", endedMs: t.fleet.clock.wallMs });
  }
  const isCancelled = run.cancelled && !run.suspended;
  if (isCancelled || (run.phase.kind === "releasing" && !run.suspended)) return t;
  return focus(t, job, (so) => {
    const cancelled = note(changeRun(so, { cancelled: true, suspended: false }), {
      state: "cancelling",
      reason: "",
    });
    return log(cancelled, "info", "is being cancelled", { step: recordOf(so).step });
  });
}

/** Puts a job that was cancelled or failed at the end of the queue. */
export function resume(t: Transition, job: string): Transition {
  const record = t.fleet.records.get(job);
  if (record === undefined || !canResume(record)) return t;
  return changeRecord(t, job, {
    state: "queued",
    reason: "",
    order: lastOrder(t.fleet) + 1,
    endedMs: 0,
  });
}

/** Forgets a job that has ended and that no worker is at work on. */
export function remove(t: Transition, job: string): Transition {
  const { records, runs, kept, logged } = t.fleet;
  const record = records.get(job);
  if (record === undefined || !hasEnded(record.state) || runs.has(job)) return t;
  return change(t, {
    records: records.without(job),
    kept: withoutKey(kept, job),
    logged: withoutKey(logged, job),
  });
}

function lastOrder({ records }: Fleet): number {
  let last = 0;
  for (const { order } of records.values()) last = Math.max(last, order);
  return last;
}
