import type { Fleet, Member, RoundPhase, Run, Transition } from "./fleetState.js";
import { openChecks } from "./checking.js";
import { countOf, shardsOf } from "./dealing.js";
import { giveUp } from "./members.js";
import { childSilentMs, isChildSilent } from "./silence.js";
import { cutOff, isNatsAway, noteAway } from "./nats.js";
import { slowestMs, usualMs } from "./pace.js";
import { memberIds, participantsIn } from "./participation.js";
import { enter, log, recordOf, runOf } from "./transition.js";

/**
 * A worker that beats and gets nowhere. Each unit of a round (a shard, the exchange) has a
 * deadline from what such units took before; past it, the worker that holds the others up is lost.
 * A deadline is a guess, so it never removes the last one that holds the state, nor more than half
 * of those who began a round: then the job waits, and says for whom.
 */

/** A unit may take this many times what it usually takes, however short that is `unitFloorMs`. */
const patience = 4;

/** A worker without a figure of its own may be slower than the slowest, and has to warm up. */
const newcomerPatience = 10;
const newcomerFloors = 6;

/** Whoever begins to exchange has so long to show that NATS answers it. */
const provenMs = 1_000;

/** Starts the deadlines of all members, as after every deal. */
export function touched(phase: RoundPhase, nowMs: number): RoundPhase {
  const progress = new Map(
    [...phase.dealt.keys()].map((id) => [
      id,
      { done: phase.progress.get(id)?.done ?? 0, sinceMs: nowMs },
    ]),
  );
  return { ...phase, progress };
}

/** Takes a beat: another number of shards is progress. */
export function beaten(t: Transition, workerId: string, done: number): Transition {
  const { phase } = runOf(t);
  if (phase.kind !== "round" || phase.progress.get(workerId)?.done === done) return t;
  if (!phase.dealt.has(workerId)) return t;
  const progress = new Map(phase.progress).set(workerId, {
    done,
    sinceMs: t.fleet.clock.awakeMs,
  });
  return enter(t, { ...phase, progress });
}

/** Loses the worker that holds up the round past its deadline, if there is one. */
export function loseStuck(t: Transition, phase: RoundPhase): Transition {
  if (isNatsAway(t)) return standStill(noteAway(t), phase);
  const owing = memberIds(runOf(t)).filter((id) => owes(phase, id));
  const [cut] = cutOff(t).filter((id) => owing.includes(id) && isExchanging(t, phase, id));
  if (cut !== undefined && phase.round === "training") {
    return remove(t, phase, cut, "NATS does not answer it, and answers the others");
  }
  const silent = owing.find((id) => isChildSilent(t.fleet, id));
  if (silent !== undefined && memberIds(runOf(t)).length > 1) {
    // No guess: its process has answered nobody, as if the worker itself had not.
    return giveUp(t, silent, `its process has said nothing for ${childSilentMs / 1000} s`);
  }
  const blamed = lateOne(t.fleet, runOf(t), phase);
  if (blamed === undefined) return t;
  return remove(t, phase, blamed, lateText(t.fleet, phase, blamed));
}

/** For people: whom a round waits for past the deadline; undefined for nobody. */
export function holdUp(fleet: Fleet, run: Run, awakeMs: number): string | undefined {
  const { phase } = run;
  if (phase.kind !== "round") return undefined;
  if (!fleet.nats.isUp) return "NATS does not answer; deadlines stand still until it does";
  const now = { ...fleet, clock: { ...fleet.clock, awakeMs } };
  const blamed = lateOne(now, run, phase);
  return blamed === undefined ? undefined : `waits for ${blamed}: ${lateText(now, phase, blamed)}`;
}

function standStill(t: Transition, phase: RoundPhase): Transition {
  const now = t.fleet.clock.awakeMs;
  const isStill = [...phase.progress.values()].every(({ sinceMs }) => sinceMs === now);
  return isStill ? t : enter(t, touched(phase, now));
}

function remove(t: Transition, phase: RoundPhase, workerId: string, reason: string): Transition {
  const isAlone = memberIds(runOf(t)).length < 2;
  const isLast = isAlone && participantsIn(runOf(t), "reserve").length === 0;
  if (!isLast && (isAlone || 2 * (phase.removed + 1) <= phase.begunWith)) {
    return giveUp(enter(t, { ...phase, removed: phase.removed + 1 }), workerId, reason);
  }
  if (phase.toldOf === workerId) return t;
  const why = isLast
    ? "nobody else holds the state"
    : `${phase.removed} of ${phase.begunWith} have been given up in this round already`;
  return log(
    enter(t, { ...phase, toldOf: workerId }),
    "warn",
    `waits for ${workerId}, although ${reason}: ${why}`,
    { worker: workerId, step: recordOf(t).step },
  );
}

/** Who computes nothing comes first; the exchange is late only where all who owe it are. */
function lateOne(fleet: Fleet, run: Run, phase: RoundPhase): string | undefined {
  const owing = memberIds(run).filter((id) => owes(phase, id));
  const late = owing.filter((id) => isLate(fleet, run, phase, id));
  const computing = late.find((id) => isComputing(phase, id));
  if (computing !== undefined) return computing;
  if (late.length === 0 || late.length < owing.length) return undefined;
  return mostWaitedFor(fleet, memberIds(run), owing);
}

function isLate(fleet: Fleet, run: Run, phase: RoundPhase, workerId: string): boolean {
  const since = phase.progress.get(workerId)?.sinceMs ?? phase.startedMs;
  return fleet.clock.awakeMs - since >= limitMs(fleet, run, phase, workerId);
}

function limitMs(fleet: Fleet, { pace }: Run, phase: RoundPhase, workerId: string): number {
  const { firstUnitMs, unitFloorMs } = fleet.options;
  const isExchange = !isComputing(phase, workerId);
  const ownMs = isExchange ? pace.exchangeMs : usualMs(pace, phase.round, workerId);
  if (ownMs !== undefined) return Math.max(unitFloorMs, patience * ownMs);
  const othersMs = isExchange ? undefined : slowestMs(pace, phase.round);
  if (othersMs === undefined) return firstUnitMs;
  return Math.max(newcomerFloors * unitFloorMs, newcomerPatience * othersMs);
}

function isComputing(phase: RoundPhase, workerId: string): boolean {
  const checks = phase.checks.get(workerId) ?? [];
  const units = countOf(phase.dealt.get(workerId) ?? []) + checks.length;
  return (phase.progress.get(workerId)?.done ?? 0) < units;
}

function isExchanging({ fleet }: Transition, phase: RoundPhase, workerId: string): boolean {
  const since = phase.progress.get(workerId)?.sinceMs ?? phase.startedMs;
  return !isComputing(phase, workerId) && fleet.clock.awakeMs - since >= provenMs;
}

/** Whether the round waits for this worker: for the sum, or for a shard dealt to it. */
function owes(phase: RoundPhase, workerId: string): boolean {
  if (phase.round === "training" && !phase.sums.has(workerId)) return true;
  if (openChecks(phase, workerId).length > 0) return true;
  const dealt = phase.dealt.get(workerId) ?? [];
  return dealt.some((range) => shardsOf(range).some((shard) => !phase.results.has(shard)));
}

/** Of equals the first. */
function mostWaitedFor(
  fleet: Fleet,
  members: readonly string[],
  candidates: readonly string[],
): string | undefined {
  const voters = members.flatMap((id) => fleet.members.get(id) ?? []);
  const [first, ...others] = candidates;
  return others.reduce(
    (worst, id) => (worst !== undefined && votes(voters, id) > votes(voters, worst) ? id : worst),
    first,
  );
}

function votes(members: readonly Member[], workerId: string): number {
  return members.filter(({ beat }) => beat?.waitingFor.includes(workerId)).length;
}

function lateText(fleet: Fleet, phase: RoundPhase, workerId: string): string {
  const since = phase.progress.get(workerId)?.sinceMs ?? phase.startedMs;
  const seconds = Math.round((fleet.clock.awakeMs - since) / 1000);
  return isComputing(phase, workerId)
    ? `for ${seconds} s it finished no shard`
    : `for ${seconds} s the exchange waits for it`;
}
