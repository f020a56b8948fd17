import { closeChild } from "./memberJob.js";
import { act, say, set, type MemberTransition } from "./memberState.js";

/**
 * A worker that is to end. It takes nothing on any more, finishes what it has, and ends once the
 * coordinator has released it, which it does when nothing is lost by that. Asked again, or when
 * that takes too long, it leaves at once.
 */

export function leave(t: MemberTransition, reason: string): MemberTransition {
  if (t.member.leaving !== undefined) return t;
  const leaving = { how: "left", reason, sinceMs: t.nowMs, atOnce: false } as const;
  return quitIfDone(sayLeaving(set(t, { leaving, next: undefined })));
}

export function leaveAtOnce(t: MemberTransition, reason: string): MemberTransition {
  const leaving = { how: "left", reason, sinceMs: t.nowMs, atOnce: true } as const;
  const told = set(say(t, { kind: "leave", reason }), { leaving, next: undefined });
  const { child } = told.member;
  return quitIfDone(child.kind === "working" ? closeChild(told, child, false) : told);
}

/** Nobody releases it: a step is too long, or the coordinator is away. */
export function leaveUnreleased(t: MemberTransition): MemberTransition {
  const { leaving, link, times } = t.member;
  if (leaving === undefined || leaving.atOnce) return t;
  const { reason, sinceMs } = leaving;
  if (t.nowMs - sinceMs >= times.graceMs) {
    return leaveAtOnce(t, `${reason}, and was not released within ${times.graceMs / 1000} s`);
  }
  if (link.kind === "up") return t;
  const awayMs = t.nowMs - Math.max(sinceMs, link.sinceMs ?? t.nowMs);
  return awayMs < times.lonelyMs ? t : leaveAtOnce(t, `${reason}, and has no coordinator`);
}

/** Tells the coordinator, again after every welcome; without one to tell, nothing. */
export function sayLeaving(t: MemberTransition): MemberTransition {
  const { leaving } = t.member;
  return leaving === undefined ? t : say(t, { kind: "leaving", reason: leaving.reason });
}

/** Ends the process once nothing is left to do. */
export function quitIfDone(t: MemberTransition): MemberTransition {
  const { leaving, child, tasks } = t.member;
  if (leaving === undefined || child.kind !== "none") return t;
  const { how, reason, atOnce } = leaving;
  const isBusy = [...tasks.values()].includes(undefined);
  if (isBusy && !atOnce) return t;
  const told = atOnce ? t : say(t, { kind: "leave", reason });
  return act(told, { kind: "quit", how, reason });
}
