import { countOf } from "./dealing.js";
import type { Member, Participant, PartingPhase, RoundPhase, Transition } from "./fleetState.js";
import { usualMs } from "./pace.js";
import { formGeneration, isConnected, memberIds, release } from "./participation.js";
import { beginSaving } from "./saving.js";
import {
  changeMember,
  enter,
  forEach,
  log,
  recordNamed,
  recordOf,
  runOf,
  runWith,
  send,
} from "./transition.js";
import { hasUnsaved } from "./work.js";

/**
 * Workers that were asked to end. Each finishes its part of the round under way and is released
 * at the boundary, once one of those who stay has said that it holds the state: it may have died
 * with its last report. Where all who hold the state leave, one who is ready soon takes it over;
 * else it is saved first. What it is when they are asked is saved in any case: they may be given no
 * time to wait for anybody.
 */

/** All leave, and the round takes, or has taken, longer than this: it is dropped, and its state saved now. */
const shortRoundMs = 10_000;

/** Whoever stays is waited for as long as a step takes, and at least so long. */
const partingFloorMs = 1_000;

/** An operator asks; the worker says that it is leaving, and ends when it is released. */
export function drainWorker(t: Transition, workerId: string): Transition {
  const member = t.fleet.members.get(workerId);
  if (member === undefined || member.link.kind === "lost") return t;
  const reason = "it was drained";
  return send(takeLeaving(t, workerId, reason), workerId, { kind: "drain", reason });
}

/** A worker that is back may not have heard it. */
export function repeatDrain(t: Transition, { workerId, leaving }: Member): Transition {
  return leaving === undefined ? t : send(t, workerId, { kind: "drain", reason: leaving.reason });
}

export function takeLeaving(t: Transition, workerId: string, reason: string): Transition {
  if (t.fleet.members.get(workerId)?.leaving !== undefined) return t;
  const run = runWith(t.fleet, workerId);
  const step = run === undefined ? 0 : recordNamed(t.fleet, run.job).step;
  const leaving = { reason, sinceMs: t.fleet.clock.awakeMs, step };
  return changeMember(t, workerId, { leaving });
}

/** Those who do not leave. */
export function staying({ fleet }: Transition, workerIds: readonly string[]): readonly string[] {
  return workerIds.filter((id) => fleet.members.get(id)?.leaving === undefined);
}

/** Releases those who leave and hold no state yet: nothing is lost with them. */
export function releaseStateless(t: Transition): Transition {
  const run = runOf(t);
  if (run.phase.kind === "recovering") return t;
  const stateless = [...run.participants.values()].filter(
    ({ workerId, stage }) =>
      stage.kind !== "member" &&
      stage.kind !== "reserve" &&
      t.fleet.members.get(workerId)?.leaving !== undefined,
  );
  return forEach(t, stateless, (so, { workerId }: Participant) =>
    release(so, workerId, "it is leaving"),
  );
}

/** At the boundary: what comes first because members leave; undefined for nothing. */
export function drain(t: Transition, members: readonly string[]): Transition | undefined {
  const stay = staying(t, members);
  if (stay.length === members.length) return undefined;
  if (stay.length === 0) {
    if (mustSave(t, members)) return beginSaving(t, "checkpoint");
    if (hasSuccessor(t, members)) return undefined;
  } else if (!areSafe(t, stay)) {
    return enter(t, { kind: "parting", sinceMs: t.fleet.clock.awakeMs });
  }
  const leavers = members.filter((id) => !stay.includes(id));
  const { step } = recordOf(t);
  const left = forEach(t, leavers, (so, worker) =>
    log(release(so, worker, "it is leaving"), "info", `${worker} leaves at step ${step}`, {
      worker,
      step,
    }),
  );
  return formGeneration(left);
}

/** Members that neither leave nor are given up for another job. */
export function whoStays(t: Transition): readonly string[] {
  const { yields } = runOf(t);
  return staying(t, memberIds(runOf(t))).filter((id) => !yields.has(id));
}

/** Whether those who leave need not be held up for the others any longer. */
export function isParted(t: Transition): boolean {
  const members = memberIds(runOf(t));
  const stay = whoStays(t);
  return stay.length === 0 || stay.length === members.length || areSafe(t, stay);
}

/** One that stays and does not answer is found out in a round. */
export function isPartingLate(t: Transition, { sinceMs }: PartingPhase): boolean {
  const usualMs = Math.max(partingFloorMs, runOf(t).pace.stepMs ?? 0);
  return t.fleet.clock.awakeMs - sinceMs >= usualMs;
}

/** Whether all who hold the state leave, and it might be lost with them. */
export function mustSave(t: Transition, members: readonly string[]): boolean {
  if (members.length === 0 || staying(t, members).length > 0) return false;
  if (!hasUnsaved(recordOf(t))) return false;
  return !hasSuccessor(t, members) || !isKept(t, members);
}

/** Whether a state of after they were asked is saved, or cannot be. */
function isKept(t: Transition, leavers: readonly string[]): boolean {
  const asked = leavers.map((id) => t.fleet.members.get(id)?.leaving?.step ?? 0);
  const [newest] = recordOf(t).checkpoints;
  return runOf(t).saveProblem !== "" || (newest?.step ?? 0) >= Math.max(...asked);
}

/** Whether the round is to be dropped because all who are at it leave, and it is too long to wait for. */
export function isHandedOver(t: Transition, phase: RoundPhase, left: readonly string[]): boolean {
  if (staying(t, left).length > 0 || hasSuccessor(t, left)) return false;
  const { awakeMs } = t.fleet.clock;
  const leftMs = roundMs(t, phase, left) - (awakeMs - phase.startedMs);
  return leftMs > shortRoundMs || awakeMs - leavingSince(t, left) > shortRoundMs;
}

/** What the round usually takes. */
function roundMs(t: Transition, { round, dealt }: RoundPhase, left: readonly string[]): number {
  const { pace } = runOf(t);
  if (round === "training") return pace.stepMs ?? Infinity;
  const each = left.map((id) => {
    const count = countOf(dealt.get(id) ?? []);
    return count === 0 ? 0 : count * (usualMs(pace, round, id) ?? Infinity);
  });
  return Math.max(...each);
}

/** Whether one of them can be told something, and is known to hold the present state. */
export function areSafe(t: Transition, stay: readonly string[]): boolean {
  const { stated } = runOf(t);
  return stay.some((id) => stated.has(id) && isConnected(t, id));
}

/** Whether someone else, who is on the way to the state, may still have it soon: the only hope where it cannot be saved. */
function hasSuccessor(t: Transition, leavers: readonly string[]): boolean {
  const { participants, saveProblem } = runOf(t);
  if (participants.size === leavers.length) return false;
  const { clock, options } = t.fleet;
  return saveProblem !== "" || clock.awakeMs - leavingSince(t, leavers) < options.handOverMs;
}

/** When the first of them was asked to leave. */
function leavingSince({ fleet }: Transition, leavers: readonly string[]): number {
  const { awakeMs } = fleet.clock;
  return Math.min(...leavers.map((id) => fleet.members.get(id)?.leaving?.sinceMs ?? awakeMs));
}
