import type { FleetEvent } from "./fleetEvent.js";
import type { LoggedLines, Transition } from "./fleetState.js";
import { hasEnded, type JobRecord } from "./record.js";
import { change, withoutKeys } from "./transition.js";

/**
 * Which records are to be kept now. All that cannot be found out again is kept at once, and before
 * anything is sent that follows from it. The step alone may lag behind: workers say what they hold.
 */
export function keepRecords(t: Transition, event: FleetEvent): Transition {
  const nowMs = event.nowMs;
  const { kept, options, records } = t.fleet;
  const due: JobRecord[] = [];
  for (const record of records.open.values()) {
    const before = kept.get(record.name);
    if (before?.record === record) continue;
    const mayWait =
      before !== undefined &&
      nowMs - before.atMs < options.recordMs &&
      differsInStepOnly(before.record, record) &&
      !isFirstStep(before.record, record);
    if (!mayWait) due.push(record);
  }
  if (due.length === 0) return t;
  const now = new Map(kept);
  for (const record of due) now.set(record.name, { record, atMs: nowMs });
  return {
    ...change(t, { kept: now }),
    commands: [...due.map((record) => ({ kind: "record", record }) as const), ...t.commands],
  };
}

/** Of a job that has ended, and of which all is kept and told, nothing is looked at again. */
export function closeRecords(t: Transition): Transition {
  const { records, kept, logged, runs } = t.fleet;
  const over = [...records.open.values()]
    .filter(({ state, name }) => hasEnded(state) && !runs.has(name))
    .filter((record) => kept.get(record.name)?.record === record)
    .map(({ name }) => name);
  if (over.length === 0) return t;
  return change(t, {
    records: records.close(over),
    kept: withoutKeys(kept, over),
    logged: withoutKeys(
      logged,
      over.filter((job) => isAsRecorded(logged.get(job), records.get(job))),
    ),
  });
}

/** The log of a job that went back to a checkpoint tells more than its record: that is not to be told again. */
function isAsRecorded(lines: LoggedLines | undefined, record: JobRecord | undefined): boolean {
  return lines?.step === record?.step;
}

/** What moves on with every step, and what workers tell again. */
const mayLag: ReadonlySet<string> = new Set<keyof JobRecord>(["step", "loss", "trail"]);

/** From then on the micro-batch of the job stands, whatever becomes of the coordinator. */
function isFirstStep(before: JobRecord, now: JobRecord): boolean {
  return before.trail.length === 0 && now.trail.length > 0;
}

function differsInStepOnly<Recorded extends JobRecord>(a: Recorded, b: Recorded): boolean {
  for (const field in b) if (!mayLag.has(field) && !Object.is(a[field], b[field])) return false;
  return true;
}
