import { rate } from "../bit/recipe.js";
import type { JobSettings } from "../job/settings.js";
import { weightsName } from "../job/storedNames.js";
import type { Fleet, Member, Run } from "./fleetState.js";
import { foreign, memberIds } from "./participation.js";
import { holdUp } from "./progress.js";
import { whySpare } from "./schedule.js";
import type { EvaluationResult, JobRecord, JobState } from "./record.js";
import { recordNamed, runWith } from "./transition.js";
import { arithmeticShortage } from "./shortage.js";
import { straggler, usage } from "./usage.js";
import { epochOf, workersMin } from "./work.js";

/** What people and clients see of the fleet: the fields of JobStatus and WorkerStatus in proto/. */
export interface JobStatus {
  readonly name: string;
  readonly state: JobState;
  /** Why it is in this state; empty where nothing needs saying. */
  readonly reason: string;
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  /** Mean loss of the last step. */
  readonly loss: number | undefined;
  /** Of the step that comes next. */
  readonly rate: number;
  readonly imagesPerSecond: number;
  /** -1 while unknown. */
  readonly secondsLeft: number;
  readonly workers: number;
  readonly generation: number;
  readonly attempt: number;
  /** SHA-256 of the exported parameters in the order of their npz names; empty before there are any. */
  readonly parameterDigest: string;
  readonly classes: readonly string[];
  readonly evaluations: readonly EvaluationResult[];
  readonly settings: JobSettings;
  /** Wall clock; 0 before it has happened. */
  readonly createdMs: number;
  readonly startedMs: number;
  readonly endedMs: number;
  /** Name of the weights in the store; empty before there are any. */
  readonly weights: string;
  readonly batch: number;
  readonly checkpointStep: number;
  /** How much of the workers' time computing takes, 0 to 1; 0 while unknown. */
  readonly workerUse: number;
  /** A worker much slower than the others, and how many times as long as the median it takes; empty and 0 for none. */
  readonly straggler: string;
  readonly stragglerTimes: number;
}

export type WorkerState = "idle" | "preparing" | "working" | "leaving" | "spare" | "lost";

export interface WorkerStatus {
  readonly id: string;
  readonly incarnation: string;
  readonly host: string;
  readonly device: string;
  readonly state: WorkerState;
  /** Why it is a spare, leaves or is lost; empty otherwise. */
  readonly reason: string;
  /** The job it works on; empty for none. */
  readonly job: string;
  readonly phase: string;
  readonly numerics: string;
  readonly imagesPerSecond: number;
  readonly residentBytes: number;
  readonly lastBeatAgeMs: number;
}

/** The job of that name, which must be one of the fleet's. `nowMs` is the coordinator's monotonic clock. */
export function jobStatus(fleet: Fleet, name: string, nowMs = fleet.clock.lastMs): JobStatus {
  const record = recordNamed(fleet, name);
  const { plan, step, weights } = record;
  const run = fleet.runs.get(name);
  const stepMs = run?.pace.stepMs;
  const { batch } = plan.settings;
  const { steps } = plan.schedule;
  const members = run === undefined ? [] : memberIds(run);
  const slow = run && straggler(run.pace, members);
  return {
    ...shownAsIs(record),
    name: plan.settings.name,
    reason: shownReason(fleet, record, run, nowMs),
    steps,
    epoch: epochOf(record, step),
    rate: rate(plan.schedule, step),
    imagesPerSecond: stepMs === undefined || stepMs <= 0 ? 0 : (1000 * batch) / stepMs,
    secondsLeft: secondsLeft(fleet, record, nowMs),
    workers: members.length,
    parameterDigest: weights?.parameterDigest ?? "",
    classes: plan.classes,
    settings: plan.settings,
    weights: weights === undefined ? "" : weightsName(record.name),
    batch,
    checkpointStep: record.checkpoints[0]?.step ?? 0,
    workerUse: (run && usage(run.pace, members)) ?? 0,
    straggler: slow?.workerId ?? "",
    stragglerTimes: slow?.times ?? 0,
  };
}

/** The job that people call so: by its name, which is free again once a job is removed, or by its id, which never is. */
export function recordCalled({ records }: Fleet, name: string): JobRecord | undefined {
  const own = records.get(name);
  if (own?.plan.settings.name === name) return own;
  // Only a name that was used before has another id.
  for (const record of records.values()) if (record.plan.settings.name === name) return record;
  return own;
}

/** All workers, by id; `nowMs` is the coordinator's monotonic clock. */
export function workerStatuses(fleet: Fleet, nowMs: number): readonly WorkerStatus[] {
  const awakeMs = awakeMsAt(fleet, nowMs);
  return [...fleet.members.values()]
    .toSorted((a, b) => (a.workerId < b.workerId ? -1 : 1))
    .map((member) => ({
      id: member.workerId,
      incarnation: member.incarnation,
      host: member.hello.host,
      device: member.hello.device,
      ...activity(fleet, member),
      phase: member.beat?.phase ?? "",
      numerics: member.hello.numerics,
      imagesPerSecond: imagesPerSecond(fleet, member),
      residentBytes: member.beat?.residentBytes ?? 0,
      lastBeatAgeMs: awakeMs - member.heardMs,
    }));
}

function shownReason(fleet: Fleet, record: JobRecord, run: Run | undefined, nowMs: number): string {
  if (record.state === "queued") return queueReason(fleet, record);
  const waiting = run === undefined ? undefined : holdUp(fleet, run, awakeMsAt(fleet, nowMs));
  return waiting ?? record.reason;
}

function activity(
  fleet: Fleet,
  member: Member,
): { readonly state: WorkerState; readonly reason: string; readonly job: string } {
  const { link, closing, leaving, workerId } = member;
  if (link.kind === "lost") return { state: "lost", reason: link.reason, job: "" };
  const run = runWith(fleet, workerId);
  if (leaving !== undefined) {
    const job = run?.job ?? closing?.job ?? "";
    return { state: "leaving", reason: leaving.reason, job };
  }
  if (run !== undefined) {
    const isMember = run.participants.get(workerId)?.stage.kind === "member";
    return { state: isMember ? "working" : "preparing", reason: "", job: run.job };
  }
  if (closing !== undefined) return { state: "working", reason: "ending", job: closing.job };
  const reason = whySpare(fleet, member) ?? whyUnasked(fleet, member);
  return reason === undefined
    ? { state: "idle", reason: "", job: "" }
    : { state: "spare", reason, job: "" };
}

/** Why an idle worker is of no use to a job that waits in the queue for others. */
function whyUnasked({ records }: Fleet, member: Member): string | undefined {
  const queued = [...records.values()].filter(({ state }) => state === "queued");
  return queued.flatMap((record) => foreign(record, member) ?? [])[0];
}

function imagesPerSecond(fleet: Fleet, { workerId }: Member): number {
  const run = runWith(fleet, workerId);
  const speed = run?.pace.speeds.get(workerId);
  const plan = run === undefined ? undefined : fleet.records.get(run.job)?.plan;
  return speed === undefined || plan === undefined ? 0 : 1000 * speed * plan.shardSize;
}

function secondsLeft(fleet: Fleet, { name, state, step, plan }: JobRecord, nowMs: number): number {
  if (state === "done") return 0;
  const run = fleet.runs.get(name);
  const stepMs = run?.pace.stepMs;
  if (run === undefined || stepMs === undefined) return -1;
  const { phase } = run;
  const isTraining = phase.kind === "round" && phase.round === "training";
  const doneMs = isTraining ? Math.min(stepMs, awakeMsAt(fleet, nowMs) - phase.startedMs) : 0;
  return ((plan.schedule.steps - step) * stepMs - doneMs) / 1000;
}

/** The awake clock between two events. */
function awakeMsAt({ clock }: Fleet, nowMs: number): number {
  return clock.awakeMs + Math.max(0, nowMs - clock.lastMs);
}

/** What a job in the queue waits for. */
function queueReason(fleet: Fleet, record: JobRecord): string {
  const needed = workersMin(record);
  const connected = [...fleet.members.values()].filter(({ link }) => link.kind === "connected");
  if (connected.length < needed) {
    const have =
      connected.length === 0
        ? "none is"
        : `${connected.length} ${connected.length === 1 ? "is" : "are"}`;
    return `needs ${needed} ${needed === 1 ? "worker" : "workers"}; ${have} connected`;
  }
  const shortage = arithmeticShortage(fleet, record);
  if (shortage !== undefined) return shortage;
  const running = [...fleet.runs.keys()];
  return running.length === 0 ? "" : `waits for ${running.join(", ")}`;
}

function shownAsIs(
  record: JobRecord,
): Pick<
  JobStatus,
  | "state"
  | "step"
  | "loss"
  | "generation"
  | "attempt"
  | "evaluations"
  | "createdMs"
  | "startedMs"
  | "endedMs"
> {
  const { state, step, loss, generation, attempt, evaluations } = record;
  const { createdMs, startedMs, endedMs } = record;
  return {
    ...{ state, step, loss, generation, attempt, evaluations },
    ...{ createdMs, startedMs, endedMs },
  };
}
