import type { Fleet, Transition } from "./fleetState.js";
import { hasEnded, isActive, type JobRecord } from "./record.js";
import { newRun, recoveredRun } from "./recovery.js";
import { beginAttempt } from "./starting.js";
import { change, changeRecord, changeRun, emit, log, recordOf, withEntry } from "./transition.js";

/** Jobs in the order they came; one is under way at a time. */

/** Whether the name is taken, by whatever has become of that job. */
export function hasJob(fleet: Fleet, name: string): boolean {
  return fleet.records.has(name);
}

export function canCancel({ state }: JobRecord): boolean {
  return !hasEnded(state);
}

export function canResume({ state }: JobRecord): boolean {
  return state === "failed" || state === "cancelled";
}

/** Puts a new job at the end of the queue; one whose name is taken changes nothing. */
export function submit(t: Transition, record: JobRecord): Transition {
  if (hasJob(t.fleet, record.name)) return t;
  const queued = change(t, {
    records: withEntry(t.fleet.records, record.name, { ...record, order: lastOrder(t.fleet) + 1 }),
  });
  const { settings, schedule } = record.plan;
  return emit(queued, {
    kind: "log",
    job: record.name,
    level: "info",
    message: `submitted: ${settings.model}, ${schedule.steps} steps of ${settings.batch}`,
    fields: { steps: schedule.steps, batch: settings.batch },
  });
}

/** A job in the queue is cancelled at once; one under way when its workers have let go of it. */
export function cancel(t: Transition, job: string): Transition {
  const record = t.fleet.records.get(job);
  if (record === undefined || !canCancel(record)) return t;
  const { run } = t.fleet;
  if (run?.job !== job) {
    return changeRecord(t, job, { state: "cancelled", reason: "", endedMs: t.fleet.clock.wallMs });
  }
  if (run.cancelled || run.phase.kind === "releasing") return t;
  const cancelled = changeRecord(changeRun(t, { cancelled: true }), job, {
    state: "cancelling",
    reason: "",
  });
  return log(cancelled, "info", "is being cancelled", { step: recordOf(t).step });
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

/**
 * Starts the first job of the queue when none is under way. An earlier coordinator may have ended
 * between the record of one job's end and that of the next one's start: then two were under way.
 */
export function startNext(t: Transition): Transition {
  if (t.fleet.run !== undefined) return t;
  const left = activeJob([...t.fleet.records.values()]);
  if (left !== undefined) {
    const deadlineMs = t.fleet.clock.awakeMs + t.fleet.options.leaseMs;
    return change(t, { run: recoveredRun(left.name, left.state === "cancelling", deadlineMs) });
  }
  const queued = [...t.fleet.records.values()].filter(({ state }) => state === "queued");
  const [next] = queued.toSorted((a, b) => a.order - b.order);
  if (next === undefined) return t;
  const starting = changeRecord(t, next.name, { state: "starting", reason: "" });
  return beginAttempt(change(starting, { run: newRun(next.name, false) }));
}

/** The job that was under way when the records were last written. */
export function activeJob(records: readonly JobRecord[]): JobRecord | undefined {
  return records.find(({ state }) => isActive(state));
}

function lastOrder({ records }: Fleet): number {
  return Math.max(0, ...[...records.values()].map(({ order }) => order));
}
