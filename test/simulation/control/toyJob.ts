import { planJob } from "../../../src/job/plan.js";
import { queuedRecord, type JobRecord } from "../../../src/control/record.js";
import { evaluationShards } from "../../../src/plan/evaluation.js";
import { hash32 } from "../../../src/plan/random.js";
import { passExamples } from "./passes.js";
import { correctOf, lossOf, reference, type Reference, type Toy, type ToyState } from "./toy.js";

/** A job for the control plane whose computing is a toy. */
export interface ToyJob {
  readonly name: string;
  readonly toy: Toy;
  readonly record: JobRecord;
  readonly expected: Reference;
  readonly minWorkers: number;
  /** When it is handed in. */
  readonly submitMs: number;
}

const validationExamples = 200;

export function toyJob(
  name: string,
  options: {
    readonly seed: number;
    readonly steps: number;
    readonly minWorkers: number;
    readonly priority: number;
    readonly submitMs: number;
  },
): ToyJob {
  const { seed, steps, minWorkers, priority, submitMs } = options;
  const shards = 5 + (hash32(seed, 7) % 5);
  const shardSize = 2;
  // Some jobs have one index.
  const indexDigest = `index-${seed % 2}`;
  const toy: Toy = { seed, shards, shardSize, steps };
  const plan = planJob(
    {
      name,
      model: "1-1-1-1x0.5",
      data: "/data",
      recipe: "upstream",
      steps,
      batch: shards * shardSize,
      shards,
      microBatch: shardSize,
      evalEvery: 5,
      checkpointEvery: 4,
      minWorkers,
      priority,
      audit: 4,
      seed,
    },
    {
      classes: ["a", "b"],
      trainingCounts: [passExamples / 2, passExamples / 2],
      validationCounts: [validationExamples / 2, validationExamples / 2],
      medianWidth: 32,
      medianHeight: 32,
      leftOut: [],
      digest: indexDigest,
    },
  );
  const record = queuedRecord({
    name,
    requestId: name,
    order: 0,
    plan,
    indexDigest,
    createdMs: 1,
  });
  return { name, toy, record, expected: reference(toy), minWorkers, submitMs };
}

/** What an evaluation of the state must give, in plain code. */
export function expectedEvaluation(
  { toy }: ToyJob,
  state: ToyState,
  step: number,
): { readonly correct: number; readonly total: number; readonly loss: number } {
  let [correct, total, loss] = [0, 0, 0];
  evaluationShards(validationExamples).forEach(({ first, end }, shard) => {
    correct += correctOf(toy, state, shard, end - first);
    total += end - first;
    loss += lossOf(toy, state, 1000 + step, shard);
  });
  return { correct, total, loss: loss / total };
}
