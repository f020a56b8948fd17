import { rate } from "../bit/recipe.js";
import { TreeFold } from "../plan/fold.js";
import { noChecksums } from "./checksum.js";
import { fail } from "./ending.js";
import { admitFollowers, followersOf } from "./following.js";
import type { RoundPhase, Transition } from "./fleetState.js";
import type { ShardResult } from "./message.js";
import { smoothed } from "./pace.js";
import { connectedMembers, memberIds } from "./participation.js";
import { changeRun, enter, forEach, log, note, recordOf, runOf, send } from "./transition.js";
import { checkpointDue, epochOf } from "./work.js";

/** The outcome of a round, from the one result that each shard has. */

/** Everyone applies the step. Losses are added as gradients are: in float32, in the tree's order. */
export function commit(t: Transition, phase: RoundPhase): Transition {
  const { name, attempt, step, plan } = recordOf(t);
  const results = inOrder(phase);
  const count = results.reduce((sum, result) => sum + result.count, 0);
  if (count !== plan.settings.batch) {
    return fail(t, `the shards of step ${step} hold ${count} examples of ${plan.settings.batch}`);
  }
  const before = memberIds(runOf(t)).length;
  const admitted = admitFollowers(t, phase);
  const run = runOf(admitted);
  const members = memberIds(run);
  const saver = checkpointDue(recordOf(t), step + 1) ? connectedMembers(t)[0] : undefined;
  const loss = treeSum(results) / count;
  const { generation } = recordOf(t);
  const committed = note(admitted, {
    step: step + 1,
    loss,
    // Whoever joined makes a new generation.
    generation: members.length > before ? generation + 1 : generation,
  });
  const all = [...members, ...followersOf(run).map(({ workerId }) => workerId)];
  const told = forEach(committed, all, (so, workerId) =>
    send(so, workerId, { kind: "commit", job: name, attempt, step, save: workerId === saver }),
  );
  const { pace } = runOf(told);
  const stepMs = t.fleet.clock.awakeMs - phase.startedMs;
  return logStep(
    changeRun(told, {
      phase: { kind: "boundary" },
      absent: new Set(),
      checksums: noChecksums,
      inherited: new Map(),
      pace: { ...pace, stepMs: smoothed(pace.stepMs, stepMs) },
    }),
    stepMs,
  );
}

/** Integers, and losses in the order of the shards: the same for any workers. */
export function closeEvaluation(t: Transition, phase: RoundPhase): Transition {
  const { step, evaluations } = recordOf(t);
  const results = inOrder(phase);
  const total = results.reduce((sum, result) => sum + result.count, 0);
  const correct = results.reduce((sum, result) => sum + result.correct, 0);
  const loss = results.reduce((sum, result) => sum + result.loss, 0) / total;
  const done = note(t, { evaluations: [...evaluations, { step, correct, total, loss }] });
  const percent = ((100 * correct) / total).toFixed(1);
  return enter(
    log(done, "info", `evaluation at step ${step}: ${correct}/${total} correct (${percent} %)`, {
      step,
      correct,
      total,
      loss: rounded(loss),
    }),
    { kind: "boundary" },
  );
}

function logStep(t: Transition, stepMs: number): Transition {
  const { step, loss, plan } = recordOf(t);
  const done = step - 1;
  const { batch } = plan.settings;
  const imagesPerSecond = stepMs > 0 ? Math.round((1e4 * batch) / stepMs) / 10 : 0;
  return log(t, "info", `step ${step} of ${plan.schedule.steps}`, {
    step,
    epoch: epochOf(recordOf(t), done),
    loss: rounded(loss ?? 0),
    rate: rate(plan.schedule, done),
    workers: memberIds(runOf(t)).length,
    imagesPerSecond,
  });
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

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
