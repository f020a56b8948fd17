import { assert } from "../job/problem.js";
import { TreeFold } from "../plan/fold.js";
import { noChecksums, sumOfMembers } from "./checksum.js";
import { fail } from "./ending.js";
import { admitFollowers } from "./following.js";
import type { RoundPhase, Transition } from "./fleetState.js";
import { deviation, logProgress, withEvaluation, withFacts } from "./history.js";
import type { ShardResult } from "./message.js";
import { committed, paceOf, usualStepMs } from "./pace.js";
import { connectedMembers, followersOf, formGeneration, memberIds } from "./participation.js";
import { judgeKept } from "./keeper.js";
import { changeRun, enter, forEach, note, recordOf, runOf, send } from "./transition.js";
import { checkpointDue } from "./work.js";

/** The outcome of a round, from the one result that each shard has. */

/** Everyone applies the step. Losses are added as gradients are: in float32, in the tree's order. */
export function commit(t: Transition, phase: RoundPhase): Transition {
  const { name, attempt, step, plan } = recordOf(t);
  const results = inOrder(phase);
  const count = examplesOf(results, plan.settings.batch);
  const before = memberIds(runOf(t)).length;
  const sumChecksum = sumOfMembers(t, phase);
  const admitted = admitFollowers(judgeKept(t), sumChecksum);
  const run = runOf(admitted);
  const members = memberIds(run);
  const isDue = checkpointDue(recordOf(t), step + 1);
  const saver = isDue ? connectedMembers(t)[0] : undefined;
  const loss = treeSum(results) / count;
  const facts = { step, loss, sumChecksum };
  const odd = deviation(recordOf(t), facts);
  if (odd !== undefined) return fail(t, odd);
  const trail = withFacts(recordOf(t), [facts]);
  // Who is lost and has the sum may be the only one to come back with the step.
  const { mayReturn: lost } = recordOf(admitted);
  const left = lost.filter((id) => phase.sums.has(id));
  const mayReturn = left.length === lost.length ? lost : left;
  const { awakeMs } = t.fleet.clock;
  const roundMs = awakeMs - phase.startedMs;
  const kept = committed(run.pace, awakeMs, roundMs);
  const usualMs = usualStepMs(kept);
  const stepped = note(admitted, { step: step + 1, loss, trail, mayReturn, usualStepMs: usualMs });
  // Whoever joined makes a new generation.
  const formed = members.length > before ? formGeneration(stepped) : stepped;
  const command = { kind: "commit", job: name, attempt, step, facts } as const;
  const all = [...members, ...followersOf(run).map(({ workerId }) => workerId)];
  const told = forEach(formed, all, (so, workerId) =>
    send(so, workerId, { save: workerId === saver, ...command }),
  );
  const { participants, keeper } = runOf(told);
  const next = changeRun(told, {
    phase: { kind: "boundary" },
    stated: noChecksums,
    inherited: new Map(),
    pace: paceOf(kept, new Set(participants.keys())),
    keeper: isDue
      ? { workerId: saver ?? "", step: step + 1, isSaved: false }
      : keeper?.isSaved === true
        ? undefined
        : keeper,
  });
  return logProgress(next, name, {
    workers: members.length,
    imagesPerSecond: roundMs > 0 ? Math.round((1e4 * count) / roundMs) / 10 : 0,
  });
}

/** Integers, and losses in the order of the shards: the same for any workers. */
export function closeEvaluation(t: Transition, phase: RoundPhase): Transition {
  const { name, step, plan } = recordOf(t);
  const results = inOrder(phase);
  const total = examplesOf(results, plan.validationExamples);
  const correct = results.reduce((sum, result) => sum + result.correct, 0);
  const loss = results.reduce((sum, result) => sum + result.loss, 0) / total;
  const done = note(t, {
    evaluations: withEvaluation(recordOf(t), { step, correct, total, loss }),
  });
  return enter(logProgress(done, name), { kind: "boundary" });
}

/** All that the round is about: a result with another count has cost its worker its place before. */
function examplesOf(results: readonly ShardResult[], expected: number): number {
  const count = results.reduce((sum, result) => sum + result.count, 0);
  assert(count === expected, `${count} examples of ${expected} in a round`);
  return count;
}

function treeSum(results: readonly ShardResult[]): number {
  const fold = new TreeFold<number>(results.length, (left, right) => Math.fround(left + right));
  results.forEach(({ loss }, shard) => {
    fold.put({ first: shard, end: shard + 1 }, loss);
  });
  return fold.total ?? 0;
}

function inOrder({ results }: RoundPhase): readonly ShardResult[] {
  return [...results.values()].map(({ result }) => result).toSorted((a, b) => a.shard - b.shard);
}
