import { membersMax } from "../job/limits.js";
import type { RoundKind } from "./message.js";
import type { JobRecord } from "./record.js";
import { evaluationShards } from "../plan/evaluation.js";

/** What a job's plan asks for at a state: the one place of the control plane that reads the settings. */

export type Work = { readonly kind: "round"; readonly round: RoundKind } | { readonly kind: "end" };

/** What is next at the state that the record stands at. */
export function nextWork(record: JobRecord): Work {
  if (evaluationDue(record)) return { kind: "round", round: "evaluation" };
  if (record.step < record.plan.schedule.steps) return { kind: "round", round: "training" };
  return { kind: "end" };
}

/** An evaluation is due every `evalEvery` steps and at the end, once for each state. */
function evaluationDue({ plan, step, evaluations }: JobRecord): boolean {
  if (plan.validationExamples === 0) return false;
  if (evaluations.some((evaluation) => evaluation.step === step)) return false;
  const { evalEvery } = plan.settings;
  return step === plan.schedule.steps || (evalEvery > 0 && step > 0 && step % evalEvery === 0);
}

/** A job of no steps only evaluates what it was given, and has nothing to save. */
export function hasTraining(record: JobRecord): boolean {
  return record.plan.schedule.steps > 0;
}

/** Whether the state reached by a commit is to be kept; the last one becomes the weights. */
export function checkpointDue({ plan }: JobRecord, step: number): boolean {
  const { checkpointEvery } = plan.settings;
  return checkpointEvery > 0 && step % checkpointEvery === 0 && step < plan.schedule.steps;
}

/** Whether the state is newer than what is kept. */
export function hasUnsaved({ step, checkpoints }: JobRecord): boolean {
  return step > (checkpoints[0]?.step ?? 0);
}

export function shardCount({ plan }: JobRecord, round: RoundKind): number {
  return round === "training"
    ? plan.settings.shards
    : evaluationShards(plan.validationExamples).length;
}

/** How many examples each shard of a round holds, in order. */
export function shardSizes({ plan }: JobRecord, round: RoundKind): readonly number[] {
  return round === "training"
    ? new Array<number>(plan.settings.shards).fill(plan.shardSize)
    : evaluationShards(plan.validationExamples).map(({ first, end }) => end - first);
}

/** More workers than this have nothing to do. */
export function workersMax(record: JobRecord): number {
  const shards = shardCount(record, hasTraining(record) ? "training" : "evaluation");
  return Math.min(membersMax, shards);
}

export function workersMin({ plan }: JobRecord): number {
  return Math.max(1, plan.settings.minWorkers);
}

/** The pass over the data that the step's first example belongs to. */
export function epochOf({ plan }: JobRecord, step: number): number {
  return Math.floor((step * plan.settings.batch) / Math.max(1, plan.trainingExamples));
}
