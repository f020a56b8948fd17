import type { Member, Participant, RoundPhase, Transition } from "./fleetState.js";
import { formGeneration, release } from "./participation.js";
import { beginSaving } from "./saving.js";
import { changeMember, forEach, log, recordOf, runOf, send } from "./transition.js";
import { hasUnsaved } from "./work.js";

/**
 * Workers that were asked to end. Each finishes its part of the round under way and is released
 * at the boundary, so that nothing has to be done again. Where all who hold the state leave, one
 * who is ready soon takes it over; else it is saved first.
 */

/** All leave, and the round would take longer than this: it is dropped, and its state saved now. */
const shortRoundMs = 10_000;

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
  const leaving = { reason, sinceMs: t.fleet.clock.awakeMs };
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
      stage.kind !== "member" && t.fleet.members.get(workerId)?.leaving !== undefined,
  );
  return forEach(t, stateless, (so, { workerId }: Participant) =>
    release(so, workerId, "it is leaving"),
  );
}

/** At the boundary: what comes first because members leave; undefined for nothing. */
export function drain(t: Transition, members: readonly string[]): Transition | undefined {
  const stay = staying(t, members);
  if (stay.length === members.length) return undefined;
  if (stay.length === 0 && hasUnsaved(recordOf(t))) {
    if (hasSuccessor(t, members)) return undefined;
    if (runOf(t).saveProblem === "") return beginSaving(t, "checkpoint");
    // It cannot be saved: rather go on until the workers will not wait any longer.
    return undefined;
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

/** Whether the round is to be dropped because all who are at it leave, and it is too long to wait for. */
export function isHandedOver(t: Transition, phase: RoundPhase, left: readonly string[]): boolean {
  if (staying(t, left).length > 0) return false;
  const { stepMs } = runOf(t).pace;
  const leftMs = (stepMs ?? Infinity) - (t.fleet.clock.awakeMs - phase.startedMs);
  return leftMs > shortRoundMs && !hasSuccessor(t, left);
}

/** Whether someone else, who is on the way to the state, may still have it soon. */
function hasSuccessor(t: Transition, leavers: readonly string[]): boolean {
  const { participants } = runOf(t);
  if (participants.size === leavers.length) return false;
  const { clock, options, members } = t.fleet;
  const since = leavers.map((id) => members.get(id)?.leaving?.sinceMs ?? clock.awakeMs);
  return clock.awakeMs - Math.min(...since) < options.handOverMs;
}
