import type { JobPlan } from "../job/plan.js";
import type { StepFacts } from "./message.js";

/**
 * What is kept of a job for ever: one JSON value in the key-value store, written by the coordinator
 * alone. It is enough to go on after everything else is gone; what the workers hold is newer than
 * the record by as many steps as were committed since it was last written.
 */
export interface JobRecord {
  /** The job's id, unique for ever in a fleet: its name, with a number behind it where that name was used before. */
  readonly name: string;
  /** Chosen by the client, so that a repeated submit is recognised. */
  readonly requestId: string;
  /** Place in the queue: the lowest goes first. */
  readonly order: number;
  readonly plan: JobPlan;
  readonly indexDigest: string;
  readonly state: JobState;
  /** Why it is in this state, in a sentence; empty where nothing needs saying. */
  readonly reason: string;
  /** History since the last rewind to a checkpoint; 0 before the first start. */
  readonly attempt: number;
  /** Grows at every change of membership within an attempt; 0 before the first. */
  readonly generation: number;
  /** The last step whose sum was begun anew. */
  readonly trial: Trial | undefined;
  /** Steps committed. */
  readonly step: number;
  /** The arithmetic that the job started on and stays with. */
  readonly pin: Pin | undefined;
  /** Workers that hold the state in this generation, by id. */
  readonly members: readonly string[];
  /** Workers lost since the last commit, or with its sum, that may be alive and come back with the state, by id. */
  readonly mayReturn: readonly string[];
  /** Those that are known to be good, newest first, as many as the job keeps. */
  readonly checkpoints: readonly CheckpointRef[];
  readonly evaluations: readonly EvaluationResult[];
  /** Mean loss of the last committed step. */
  readonly loss: number | undefined;
  /** What its newest steps usually took, with what comes between steps. */
  readonly usualStepMs: number | undefined;
  /** The newest steps, in order: what must come of them should they be done again. */
  readonly trail: readonly StepFacts[];
  readonly weights: WeightsRef | undefined;
  /** Wall clock, given by the shell; 0 = not yet. */
  readonly createdMs: number;
  readonly startedMs: number;
  readonly endedMs: number;
}

export interface Trial {
  readonly step: number;
  /** In which generation: a sum of before is void. */
  readonly generation: number;
  /** The last of those in which numbers were found wrong: what was made before is void, too. 0 for none. */
  readonly doubted: number;
}

export const jobStates = [
  "queued",
  "starting",
  "training",
  "evaluating",
  "saving",
  "waiting",
  "cancelling",
  "done",
  "failed",
  "cancelled",
] as const;
export type JobState = (typeof jobStates)[number];

export interface Pin {
  readonly numerics: string;
  readonly probe: string;
}

export interface CheckpointRef {
  readonly step: number;
  readonly attempt: number;
}

export interface WeightsRef {
  /** SHA-256 over the parameters in the order of their npz names. */
  readonly parameterDigest: string;
}

export interface EvaluationResult {
  /** The state that was evaluated. */
  readonly step: number;
  readonly correct: number;
  readonly total: number;
  /** Mean over the examples. */
  readonly loss: number;
}

/** The record of a job that has just been accepted. */
export function queuedRecord(job: {
  readonly name: string;
  readonly requestId: string;
  readonly order: number;
  readonly plan: JobPlan;
  readonly indexDigest: string;
  readonly createdMs: number;
}): JobRecord {
  return {
    state: "queued",
    reason: "",
    attempt: 0,
    generation: 0,
    trial: undefined,
    step: 0,
    pin: undefined,
    members: [],
    mayReturn: [],
    checkpoints: [],
    evaluations: [],
    loss: undefined,
    usualStepMs: undefined,
    trail: [],
    weights: undefined,
    startedMs: 0,
    endedMs: 0,
    ...job,
  };
}

/** A trial of the step under way because somebody is gone, and nobody's numbers are in doubt. */
export function voidTrial({ trial, step }: JobRecord, generation: number): Trial {
  return { step, generation, doubted: trial?.step === step ? trial.doubted : 0 };
}

/** The trial that the step under way is in. */
export function trialOf({ trial, step }: JobRecord): number {
  return trial?.step === step ? trial.generation : 0;
}

/** Whether nothing more happens to the job by itself. */
export function hasEnded(state: JobState): boolean {
  return state === "done" || state === "failed" || state === "cancelled";
}

/** Whether workers may be at work on the job. */
export function isActive(state: JobState): boolean {
  return !hasEnded(state) && state !== "queued";
}

/** Workers refuse what is of a generation before one that they have seen, and a copy may be older than they are by a few. */
const generationsAhead = 1000;

/**
 * The record to go on from where NATS has lost it and a copy is left. A copy is never newer than its record, so one that is
 * tells of the loss, too: what is there is then the late word of a coordinator from before. Undefined where nothing is lost.
 */
export function revived(copy: JobRecord, found: JobRecord | undefined): JobRecord | undefined {
  if (found !== undefined && !isAheadOf(copy, found)) return undefined;
  const ahead = isActive(copy.state) ? generationsAhead : 0;
  return { ...copy, generation: copy.generation + ahead };
}

/**
 * Whether the job has come further in the one than in the other: by its place in the queue, which is a later one after each
 * resume, then by attempts, then by generations. Of equals one that has ended is ahead, else the one of more steps.
 */
function isAheadOf(a: JobRecord, b: JobRecord): boolean {
  const progress = ({ order, attempt, generation, state, step }: JobRecord): readonly number[] => [
    ...[order, attempt, generation, Number(hasEnded(state)), step],
  ];
  const others = progress(b);
  const more = progress(a).map((count, i) => count - (others[i] ?? 0));
  return (more.find((difference) => difference !== 0) ?? 0) > 0;
}
