import { plural } from "../job/plural.js";
import { withChecks } from "./checking.js";
import { takeChecksum } from "./checksum.js";
import { closeEvaluation, commit } from "./commit.js";
import { fail } from "./ending.js";
import { examine, isUncompared, type Finding } from "./examining.js";
import { countOf, dealAll, dealRest, sharesOf, uncovered, type Deal } from "./dealing.js";
import { isHandedOver, staying } from "./leaving.js";
import type { RoundPhase, Run, Transition } from "./fleetState.js";
import { awaitFollowers, beginFollowing, begunNow, forgetSums } from "./following.js";
import type { RoundKind, WorkerCommand, WorkerEvent } from "./message.js";
import { owesResults, without, withResults } from "./opinions.js";
import { evaluated, reported } from "./pace.js";
import { followersOf, formGeneration, memberIds, participantsIn } from "./participation.js";
import { loseStuck, touched } from "./progress.js";
import { trialOf, voidTrial } from "./record.js";
import { exclude, repair, rewindUndecided } from "./remedy.js";
import {
  changeRun,
  describe,
  enter,
  forEach,
  log,
  note,
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
  const trial = round === "training" ? firstTrial(t) : 0;
  const phase: RoundPhase = {
    kind: "round",
    round,
    shardCount: count,
    startedMs: t.fleet.clock.awakeMs,
    completeSinceMs: undefined,
    dealt,
    results: new Map(),
    opinions: new Map(),
    checks: new Map(),
    trial,
    sumsTried: 0,
    sums: new Map(),
    progress: new Map(),
    begunWith: members.length,
    removed: 0,
    toldOf: "",
    followed: begunNow(t),
  };
  const checks = withChecks(t, phase, members);
  const noted = trial > 0 ? note(t, { trial: voidTrial(recordOf(t), trial) }) : t;
  const begun = enter(noted, touched({ ...phase, checks }, t.fleet.clock.awakeMs));
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

/** A round that was begun before goes on, as under an earlier coordinator: its members have made nodes of their ranges. */
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

/**
 * Where a round goes on, after a start of the coordinator or after a pause, nobody knows any more what was reported of it:
 * sums may hold what somebody made who is gone, and made wrongly. They are added anew, from what members have made themselves.
 */
function firstTrial(t: Transition): number {
  return runOf(t).inherited.size > 0 ? recordOf(t).generation : trialOf(recordOf(t));
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
  const so = takeChecksum(t, workerId, report.parameterChecksum);
  const incarnation = t.fleet.members.get(workerId)?.incarnation ?? "";
  const taken = withResults(phase, { workerId, incarnation }, report.shards);
  const own = report.shards.filter(({ check }) => check === 0).length;
  if (phase.round === "evaluation") {
    const { computeMs } = report;
    return changeRun(so, {
      phase: taken,
      pace: evaluated(pace, workerId, { shards: own, computeMs }),
    });
  }
  // A sum of an earlier trial is none, and what was computed for it counts all the same.
  if (report.trial !== phase.trial) return enter(so, taken);
  const sums = withEntry(phase.sums, workerId, report.sumChecksum);
  const { computeMs, exchangeMs } = report;
  const figures = { shards: own, computeMs, exchangeMs };
  return changeRun(so, {
    phase: { ...taken, sums },
    pace: phase.sums.has(workerId) ? pace : reported(pace, workerId, figures),
  });
}

/** Decides the round, or goes on with those who are left. */
export function decideRound(t: Transition, phase: RoundPhase): Transition {
  const run = runOf(t);
  const left = memberIds(run).filter((id) => phase.dealt.has(id));
  // Nothing more is committed, or nobody is left to go on: the boundary sees to both.
  if (run.cancelled) return enter(t, { kind: "boundary" });
  if (left.length === 0)
    return isTakenOver(t) ? tryAgain(t, phase) : enter(t, { kind: "boundary" });
  const finding = examine(t, phase, left);
  if (finding.kind === "sound" && isComplete(phase, left) && !isUncompared(t, phase, left)) {
    if (phase.round === "evaluation") return closeEvaluation(t, phase);
    const waiting = awaitFollowers(t, phase);
    if (waiting === undefined) return commit(t, phase);
    return phase.completeSinceMs === undefined ? enter(t, waiting) : t;
  }
  if (isHandedOver(t, phase, left)) return putOff(t, phase, left);
  const isSettled = finding.kind === "sound" || finding.kind === "waiting";
  // A regroup asks for checks itself; all else that is wrong makes it needless.
  if (!isSettled && finding.kind !== "ask") return settleFinding(t, phase, finding);
  if (left.length < phase.dealt.size) return regroup(t, phase, left);
  return isSettled
    ? (letFollow(t, phase) ?? loseStuck(t, phase))
    : settleFinding(t, phase, finding);
}

/**
 * Whoever has got ready by now follows from this round on, and does not wait for the next: all hold
 * the round's state until the commit. Once for each worker, so that one that comes and goes costs
 * the others no more; and not any more once somebody has the sum, since the boundary is near.
 */
function letFollow(t: Transition, phase: RoundPhase): Transition | undefined {
  if (phase.round !== "training" || phase.sums.size > 0) return undefined;
  if (participantsIn(runOf(t), "ready").length === 0) return undefined;
  // One generation of a round is one list of followers, too.
  const following = beginFollowing(formGeneration(t), phase.followed);
  const followed = [
    ...phase.followed,
    ...begunNow(following).filter((id) => !phase.followed.includes(id)),
  ];
  if (followed.length === phase.followed.length) return undefined;
  const told = tellAll(enter(following, { ...phase, followed }));
  return describe(told, "training", joiningText(runOf(told)));
}

/** Whether followers go on, who may have collected what those who are lost never reported. */
function isTakenOver(t: Transition): boolean {
  const { step } = recordOf(t);
  return followersOf(runOf(t)).some(({ stage }) => stage.held?.step === step);
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
 *
 * What a worker made that is gone and has not reported it is judged by nobody, so it must not be in
 * the sum: in a new trial all is collected and added anew. So it is where one is left, with whose sum
 * none can be compared.
 */
function regroup(t: Transition, before: RoundPhase, left: readonly string[]): Transition {
  const { pace } = runOf(t);
  const lost = [...before.dealt.keys()].filter((id) => !left.includes(id));
  const isVoid =
    before.round === "training" &&
    (lost.some((id) => owesResults(before, id)) || isUncompared(t, before, left));
  const phase = isVoid
    ? { ...before, trial: recordOf(t).generation + 1, sums: new Map<string, number>() }
    : before;
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
  const trial = voidTrial(recordOf(t), phase.trial);
  const formed = formGeneration(isVoid ? forgetSums(note(t, { trial })) : t);
  const checks = withChecks(t, { ...phase, dealt }, left);
  return tellAll(
    log(
      enter(formed, touched({ ...phase, dealt, checks }, t.fleet.clock.awakeMs)),
      "info",
      `${plural(left.length, "worker")} ${left.length === 1 ? "finishes" : "finish"} the round at step ${step} and ${left.length === 1 ? "takes" : "take"} over ${plural(countOf(missing), "shard")}`,
      { step, workers: left.length },
    ),
  );
}

/** Acts on what is wrong with the numbers. Nothing is committed before it is settled. */
function settleFinding(t: Transition, phase: RoundPhase, finding: Finding): Transition {
  const { step } = recordOf(t);
  switch (finding.kind) {
    case "sound":
    case "waiting":
      return t;
    case "fail":
      return fail(t, finding.why);
    case "rewind":
      return rewindUndecided(t, finding.why);
    case "ask": {
      const asked = enter(t, { ...phase, checks: withChecks(t, phase, [...phase.dealt.keys()]) });
      return tellAnew(
        finding.why === undefined ? asked : log(asked, "warn", finding.why, { step }),
      );
    }
    case "again": {
      const logged = log(t, "warn", `${finding.why}: it is added up again`, { step });
      return tryAgain(logged, { ...phase, sumsTried: phase.sumsTried + 1 });
    }
    case "odd": {
      const blamed = finding.workers;
      return tryAgain(forEach(t, blamed, repair), without(phase, blamed));
    }
    case "wrong": {
      const blamed = finding.workers;
      return tryAgain(forEach(t, blamed, exclude), without(phase, blamed));
    }
  }
}

/**
 * The same step again, without what those who are gone have made: the others keep the nodes that
 * they made themselves, make what is missing, and collect and add all of it anew.
 */
function tryAgain(t: Transition, phase: RoundPhase): Transition {
  const { pace, phase: now } = runOf(t);
  const left = memberIds(runOf(t)).filter((id) => phase.dealt.has(id));
  if (now.kind !== "round") return t;
  if (left.length === 0) return abandon(t);
  const { step, generation } = recordOf(t);
  const kept = new Map(left.map((id) => [id, phase.dealt.get(id) ?? []]));
  const missing = uncovered(phase.shardCount, kept, () => true);
  const stay = staying(t, left);
  const dealt = new Map([
    ...kept,
    ...dealRest(pace, stay.length === 0 ? left : stay, kept, missing),
  ]);
  const trial = phase.round === "training" ? generation + 1 : phase.trial;
  const tried: RoundPhase = { ...phase, dealt, trial, sums: new Map() };
  const doubted = { step, generation: trial, doubted: trial };
  const noted = phase.round === "training" ? note(t, { trial: doubted }) : t;
  return tellAnew(enter(forgetSums(noted), { ...tried, checks: withChecks(noted, tried, left) }));
}

/**
 * The round goes on after what comes first, if somebody is there for it then, in another generation
 * and with the parts that its members have made by now.
 */
function putOff(t: Transition, { round, dealt }: RoundPhase, left: readonly string[]): Transition {
  const inherited = new Map(left.map((id) => [id, dealt.get(id) ?? []]));
  const kept = round === "training" ? changeRun(t, { inherited }) : t;
  return enter(formGeneration(kept), { kind: "boundary" });
}

/** Nobody of the round goes on with it; whoever does takes no part of it over. */
function abandon(t: Transition): Transition {
  const { step, generation } = recordOf(t);
  const trial = { step, generation: generation + 1, doubted: generation + 1 };
  return enter(formGeneration(note(t, { trial })), { kind: "boundary" });
}

/** In a new generation, since one generation of a round is one deal. */
function tellAnew(t: Transition): Transition {
  const formed = formGeneration(t);
  const { phase } = runOf(formed);
  return phase.kind === "round"
    ? tellAll(enter(formed, touched(phase, t.fleet.clock.awakeMs)))
    : formed;
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
    trial: phase.trial,
    members: [...phase.dealt].map(([workerId, ranges]) => ({
      workerId,
      address: addressOf(workerId),
      ranges,
      finished: phase.sums.has(workerId),
      checks: phase.checks.get(workerId) ?? [],
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
