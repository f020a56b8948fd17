import type { FleetHappening } from "./fleetEvent.js";
import type { Fleet, Member } from "./fleetState.js";
import { hasEnded, type JobRecord, type JobState } from "./record.js";

/**
 * What one event came to, for those who count: the difference between the fleet before and after it. What can be read off the
 * fleet at any moment (a loss, who is there) is not among it.
 */
export type Observation =
  | {
      readonly kind: "step";
      readonly job: string;
      readonly images: number;
      /** From the first deal of the round to its commit, regroups included. */
      readonly seconds: number;
    }
  /** One worker's part of a step. */
  | {
      readonly kind: "phase";
      readonly job: string;
      readonly phase: "compute" | "exchange";
      readonly seconds: number;
    }
  | {
      readonly kind: "regroup";
      readonly job: string;
      readonly reason: RegroupReason;
      readonly count: number;
    }
  /** The job went back to a checkpoint, or to its start. */
  | { readonly kind: "rewind"; readonly job: string }
  | { readonly kind: "saved"; readonly job: string; readonly what: Saving; readonly bytes: number }
  | { readonly kind: "save-failed"; readonly job: string; readonly what: Saving }
  | { readonly kind: "ended"; readonly state: JobState }
  | { readonly kind: "joined" }
  | { readonly kind: "lost"; readonly reason: LossReason };

export type Saving = "checkpoint" | "weights";

/** `recovery`: members that nobody knew of are back, as after a start of the coordinator. */
export type RegroupReason = "join" | "leave" | "loss" | "recovery" | "again";

export type LossReason = "left" | "disconnected" | "silent" | "stuck";

export function observe(
  before: Fleet,
  after: Fleet,
  happening: FleetHappening,
): readonly Observation[] {
  if (before === after) return [];
  return [
    ...phases(before, happening),
    ...[...before.records.open.keys()].flatMap((job) => ofJob(before, after, job, happening)),
    ...saveFailure(before, happening),
    ...[...after.members.values()].flatMap((member) => ofMember(before, after, member, happening)),
  ];
}

/** Each report tells the same figures again until the round is over: the first with the finished sum counts. */
function phases(before: Fleet, happening: FleetHappening): readonly Observation[] {
  if (happening.kind !== "worker" || happening.event.kind !== "report") return [];
  const { job, round, attempt, step, shards, computeMs, exchangeMs } = happening.event;
  const phase = before.runs.get(job)?.phase;
  const record = before.records.get(job);
  if (round !== "training" || phase?.kind !== "round" || phase.round !== round) return [];
  if (record?.attempt !== attempt || record.step !== step) return [];
  if (phase.sums.has(happening.workerId)) return [];
  const exchange = { kind: "phase", job, phase: "exchange", seconds: exchangeMs / 1000 } as const;
  return shards.length === 0
    ? [exchange]
    : [{ kind: "phase", job, phase: "compute", seconds: computeMs / 1000 }, exchange];
}

function ofJob(
  before: Fleet,
  after: Fleet,
  job: string,
  happening: FleetHappening,
): readonly Observation[] {
  const was = before.records.get(job);
  const record = after.records.get(job);
  if (was === undefined || record === undefined || was === record) return [];
  const { attempt, state } = record;
  const ended = hasEnded(state) && !hasEnded(was.state) ? [{ kind: "ended", state } as const] : [];
  if (was.attempt !== attempt) {
    return [...(was.attempt > 0 ? [{ kind: "rewind", job } as const] : []), ...ended];
  }
  return [
    ...steps(before, after, was, record),
    ...regroups(before, after, was, record),
    ...saves(was, record, happening),
    ...ended,
  ];
}

/** A step that workers hold who come back was committed, and counted, before. */
function steps(
  before: Fleet,
  after: Fleet,
  was: JobRecord,
  { name: job, step, plan }: JobRecord,
): readonly Observation[] {
  const phase = before.runs.get(job)?.phase;
  if (phase?.kind !== "round" || phase.round !== "training" || step !== was.step + 1) return [];
  const seconds = (after.clock.awakeMs - phase.startedMs) / 1000;
  return [{ kind: "step", job, images: plan.settings.batch, seconds }];
}

/** The first generation of an attempt replaces none. */
function regroups(
  before: Fleet,
  after: Fleet,
  was: JobRecord,
  record: JobRecord,
): readonly Observation[] {
  const count = record.generation - was.generation;
  if (was.generation === 0 || count <= 0) return [];
  const { name: job } = record;
  return [{ kind: "regroup", job, reason: regroupReason(before, after, was, record), count }];
}

function regroupReason(
  before: Fleet,
  after: Fleet,
  was: JobRecord,
  record: JobRecord,
): RegroupReason {
  const run = before.runs.get(record.name);
  if (run?.phase.kind === "recovering") return "recovery";
  const gone = was.members.filter((id) => !record.members.includes(id));
  const leaves = (id: string): boolean =>
    before.members.get(id)?.leaving !== undefined ||
    after.members.get(id)?.leaving !== undefined ||
    run?.yields.has(id) === true;
  if (gone.length > 0) return gone.every(leaves) ? "leave" : "loss";
  return record.members.some((id) => !was.members.includes(id)) ? "join" : "again";
}

function saves(
  was: JobRecord,
  { name: job, checkpoints, weights }: JobRecord,
  happening: FleetHappening,
): readonly Observation[] {
  if (happening.kind !== "worker" || happening.event.kind !== "saved") return [];
  const { what, step, bytes } = happening.event;
  if (happening.event.job !== job) return [];
  const isTaken =
    what === "weights"
      ? weights !== was.weights
      : checkpoints[0]?.step === step && checkpoints[0] !== was.checkpoints[0];
  return isTaken ? [{ kind: "saved", job, what, bytes }] : [];
}

function saveFailure(before: Fleet, happening: FleetHappening): readonly Observation[] {
  if (happening.kind !== "worker" || happening.event.kind !== "save-failed") return [];
  const { job, what, attempt } = happening.event;
  if (before.records.get(job)?.attempt !== attempt || !before.runs.has(job)) return [];
  return [{ kind: "save-failed", job, what }];
}

function ofMember(
  before: Fleet,
  { clock, options }: Fleet,
  member: Member,
  happening: FleetHappening,
): readonly Observation[] {
  const was = before.members.get(member.workerId);
  if (was === member) return [];
  const wasThere = was !== undefined && was.link.kind !== "lost";
  const isThere = member.link.kind !== "lost";
  if (isThere === wasThere) return [];
  if (isThere || was === undefined) return [{ kind: "joined" }];
  const isOver = was.link.kind === "disconnected";
  const isSilent = clock.awakeMs - was.heardMs >= options.leaseMs;
  const reason = hasLeft(member, happening)
    ? "left"
    : isOver
      ? "disconnected"
      : isSilent
        ? "silent"
        : "stuck";
  return [{ kind: "lost", reason }];
}

function hasLeft({ workerId }: Member, happening: FleetHappening): boolean {
  return (
    happening.kind === "worker" &&
    happening.workerId === workerId &&
    happening.event.kind === "leave"
  );
}
