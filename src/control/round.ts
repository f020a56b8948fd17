import { checkState } from "./checksum.js";
import { closeEvaluation, commit } from "./commit.js";
import { fail } from "./ending.js";
import { isHandedOver, staying } from "./leaving.js";
import { countOf, dealAll, dealRest, sharesOf, uncovered, type Deal } from "./dealing.js";
import type { RoundPhase, Run, Transition } from "./fleetState.js";
import { awaitFollowers, followersOf } from "./following.js";
import type { RoundKind, WorkerCommand, WorkerEvent } from "./message.js";
import { evaluated, reported } from "./pace.js";
import { formGeneration, memberIds } from "./participation.js";
import { loseStuck, touched } from "./progress.js";
import {
  changeRun,
  describe,
  enter,
  forEach,
  log,
  recordOf,
  runOf,
  send,
  withEntry,
} from "./transition.js";
import { shardCount } from "./work.js";

/**
 * A round: shards dealt, results gathered, outcome decided once. The outcome does not depend on
 * who computes what, so a result counts whichever generation its report is of; what is asked is
 * that every shard has one result and that every member that is left has the finished sum.
 */

export type Report = Extract<WorkerEvent, { readonly kind: "report" }>;

export function beginRound(before: Transition, round: RoundKind): Transition {
  const t = formedAnew(before);
  const run = runOf(t);
  const members = memberIds(run);
  const count = shardCount(recordOf(t), round);
  const dealt =
    round === "training" ? dealTraining(run, members, count) : dealAll(run.pace, members, count);
  const phase: RoundPhase = {
    kind: "round",
    round,
    shardCount: count,
    startedMs: t.fleet.clock.awakeMs,
    completeSinceMs: undefined,
    dealt,
    results: new Map(),
    sums: new Map(),
    progress: new Map(),
    begunWith: members.length,
    removed: 0,
    toldOf: "",
  };
  const begun = enter(t, touched(phase, t.fleet.clock.awakeMs));
  return tellAll(
    round === "training"
      ? describe(
          changeRun(begun, { pace: { ...run.pace, shares: sharesOf(dealt) } }),
          "training",
          joiningText(run),
        )
      : describe(begun, "evaluating"),
  );
}

/** One who was lost between two rounds is no member of this one. */
function formedAnew(t: Transition): Transition {
  const { members } = recordOf(t);
  const now = memberIds(runOf(t));
  const isSame = members.length === now.length && now.every((id) => members.includes(id));
  return isSame ? t : formGeneration(t);
}

/** A round that an earlier coordinator began goes on: its members have made nodes of their ranges. */
function dealTraining({ pace, inherited }: Run, members: readonly string[], count: number): Deal {
  const kept = new Map(
    members.flatMap((id) => {
      const ranges = (inherited.get(id) ?? []).filter(({ end }) => end <= count);
      return ranges.length === 0 ? [] : [[id, ranges] as const];
    }),
  );
  if (kept.size === 0) return dealAll(pace, members, count);
  return dealRest(
    pace,
    members,
    kept,
    uncovered(count, kept, () => true),
  );
}

/** Sends (or repeats) the round to one of its members. */
export function sendRound(t: Transition, workerId: string): Transition {
  const { phase } = runOf(t);
  return phase.kind === "round" ? send(t, workerId, roundCommand(t, phase)) : t;
}

/** Takes a report of this round, of whichever generation. */
export function takeReport(t: Transition, workerId: string, report: Report): Transition {
  const { phase, pace } = runOf(t);
  if (phase.kind !== "round" || !concerns(t, phase, report)) return t;
  const state = checkState(t, workerId, report.parameterChecksum);
  const problem =
    state.problem ??
    shardProblem(t, phase, workerId, report) ??
    sumProblem(phase, workerId, report);
  if (problem !== undefined) return fail(t, problem);

  const results = new Map(phase.results);
  for (const result of report.shards) {
    if (!results.has(result.shard)) results.set(result.shard, { result, workerId });
  }
  if (phase.round === "evaluation") {
    const own = { shards: report.shards.length, computeMs: report.computeMs };
    return changeRun(state.t, {
      phase: { ...phase, results },
      pace: evaluated(pace, workerId, own),
    });
  }
  const sums = withEntry(phase.sums, workerId, report.sumChecksum);
  const { computeMs, exchangeMs } = report;
  const figures = { shards: report.shards.length, computeMs, exchangeMs };
  return changeRun(state.t, {
    phase: { ...phase, results, sums },
    pace: phase.sums.has(workerId) ? pace : reported(pace, workerId, figures),
  });
}

/** Decides the round, or goes on with those who are left. */
export function decideRound(t: Transition, phase: RoundPhase): Transition {
  const run = runOf(t);
  const left = memberIds(run).filter((id) => phase.dealt.has(id));
  // Nothing more is committed, or nobody is left to go on: the boundary sees to both.
  if (run.cancelled || left.length === 0) return enter(t, { kind: "boundary" });
  if (isComplete(phase, left)) {
    if (phase.round === "evaluation") return closeEvaluation(t, phase);
    const waiting = awaitFollowers(t, phase);
    if (waiting === undefined) return commit(t, phase);
    return phase.completeSinceMs === undefined ? enter(t, waiting) : t;
  }
  if (isHandedOver(t, phase, left)) return enter(t, { kind: "boundary" });
  if (left.length < phase.dealt.size) return regroup(t, phase, left);
  return loseStuck(t, phase);
}

function isComplete(phase: RoundPhase, left: readonly string[]): boolean {
  return (
    phase.results.size === phase.shardCount &&
    (phase.round === "evaluation" || left.every((id) => phase.sums.has(id)))
  );
}

/**
 * The same round in a new generation: all keep what they have, and take over what is missing. Once
 * someone has the finished sum the others get it from there, and only results can be missing.
 */
function regroup(t: Transition, phase: RoundPhase, left: readonly string[]): Transition {
  const { pace } = runOf(t);
  const kept = new Map(left.map((id) => [id, phase.dealt.get(id) ?? []]));
  const needsResults = phase.round === "evaluation" || left.some((id) => phase.sums.has(id));
  const missing = uncovered(
    phase.shardCount,
    kept,
    (shard) => !needsResults || !phase.results.has(shard),
  );
  const stay = staying(t, left);
  const takers = stay.length === 0 ? left : stay;
  const dealt = new Map([...kept, ...dealRest(pace, takers, kept, missing)]);
  const { step } = recordOf(t);
  const formed = formGeneration(t);
  return tellAll(
    log(
      enter(formed, touched({ ...phase, dealt }, t.fleet.clock.awakeMs)),
      "info",
      `${left.length} workers finish the round at step ${step} and take over ${countOf(missing)} shards`,
      { step, workers: left.length },
    ),
  );
}

function tellAll(t: Transition): Transition {
  const { phase } = runOf(t);
  if (phase.kind !== "round") return t;
  const followers = phase.round === "training" ? followersOf(runOf(t)) : [];
  const all = [...phase.dealt.keys(), ...followers.map(({ workerId }) => workerId)];
  return forEach(t, all, sendRound);
}

function joiningText(run: Run): string {
  const { length } = followersOf(run);
  return length === 0 ? "" : length === 1 ? "1 worker joins" : `${length} workers join`;
}

function roundCommand(t: Transition, phase: RoundPhase): WorkerCommand {
  const { name, attempt, generation, step } = recordOf(t);
  const addressOf = (workerId: string): string => t.fleet.members.get(workerId)?.incarnation ?? "";
  return {
    kind: "round",
    job: name,
    attempt,
    generation,
    step,
    round: phase.round,
    shardCount: phase.shardCount,
    members: [...phase.dealt].map(([workerId, ranges]) => ({
      workerId,
      address: addressOf(workerId),
      ranges,
      finished: phase.sums.has(workerId),
    })),
    followers: followersOf(runOf(t)).map(({ workerId }) => addressOf(workerId)),
  };
}

function concerns(t: Transition, phase: RoundPhase, report: Report): boolean {
  const { name, attempt, step } = recordOf(t);
  return (
    report.job === name &&
    report.attempt === attempt &&
    report.step === step &&
    report.round === phase.round
  );
}

/** What is wrong with a shard of the report, in a sentence. */
function shardProblem(
  t: Transition,
  phase: RoundPhase,
  workerId: string,
  report: Report,
): string | undefined {
  const at = `of step ${recordOf(t).step}`;
  for (const result of report.shards) {
    const { shard } = result;
    if (shard >= phase.shardCount) {
      return `${workerId} reported shard ${shard} ${at}, which has ${phase.shardCount}`;
    }
    if (!result.finite) {
      return `shard ${shard} ${at} is not finite on ${workerId}: the rate may be too high`;
    }
    const known = phase.results.get(shard);
    if (known !== undefined && !isSame(known.result, result)) {
      return `shard ${shard} ${at} came out differently on ${known.workerId} and ${workerId}`;
    }
  }
  return undefined;
}

function sumProblem(phase: RoundPhase, workerId: string, report: Report): string | undefined {
  if (phase.round === "evaluation") return undefined;
  const other = [...phase.sums].find(([, sum]) => sum !== report.sumChecksum);
  return other === undefined
    ? undefined
    : `the sum of step ${report.step} has checksum ${report.sumChecksum} on ${workerId} and ${other[1]} on ${other[0]}`;
}

type ShardResult = Report["shards"][number];

/** Bit for bit: losses that are equal as numbers but for the sign of a zero are not the same. */
function isSame(a: ShardResult, b: ShardResult): boolean {
  return (
    Object.is(a.loss, b.loss) &&
    a.count === b.count &&
    a.correct === b.correct &&
    a.inputChecksum === b.inputChecksum
  );
}
