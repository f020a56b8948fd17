import { closeChild } from "./memberJob.js";
import { leaveUnreleased } from "./memberLeaving.js";
import { dealtRanges } from "./memberRound.js";
import {
  act,
  say,
  set,
  setChild,
  type Child,
  type Link,
  type Member,
  type MemberTransition,
  type Working,
} from "./memberState.js";
import type { HeldState } from "./message.js";

/**
 * The worker's stream: hello, beats, and when it counts as gone. Every beat is answered, so either
 * direction of the link that falls silent shows in a beat without an answer; the worker then opens
 * another connection, before its lease is over. Time in which the worker itself stood still does
 * not count.
 */

/** Ticks come every 100 ms. After a longer gap, what has arrived meanwhile is yet to be read. */
const standstillMs = 1_000;

export function greet(t: MemberTransition): MemberTransition {
  const { identity, term, child, leaving } = t.member;
  if (leaving?.atOnce === true) return t;
  const sinceMs = lonelySince(t.member) ?? t.nowMs;
  const held = heldState(child, identity.incarnation);
  const link = { kind: "greeting", sinceMs, helloMs: t.nowMs, held } as const;
  return act(set(t, { link }), {
    kind: "to-coordinator",
    event: { kind: "hello", term, held, ...identity },
  });
}

export function disconnect(t: MemberTransition): MemberTransition {
  return set(t, { link: { kind: "down", sinceMs: lonelySince(t.member) ?? t.nowMs } });
}

export function takeHeard(t: MemberTransition): MemberTransition {
  const { link } = t.member;
  return link.kind === "up" ? set(t, { link: { ...link, answeredMs: t.nowMs } }) : t;
}

/** What time has done to the stream and to the child. */
export function tick(t: MemberTransition): MemberTransition {
  return beat(
    watchChild(leaveSilence(greetAgain(killStuck(leaveUnreleased(endOrphan(standStill(t))))))),
  );
}

function standStill(t: MemberTransition): MemberTransition {
  const { tickedMs, link, child } = t.member;
  const now = { ...t, member: { ...t.member, tickedMs: t.nowMs } };
  if (tickedMs === undefined || t.nowMs - tickedMs < standstillMs) return now;
  const fresh: Link = link.kind === "up" ? { ...link, answeredMs: t.nowMs } : link;
  const heard: Child = child.kind === "working" ? { ...child, heardMs: t.nowMs } : child;
  return set(now, { link: fresh, child: heard });
}

/** Nobody knows when a coordinator will be back, and others may want the device. */
function endOrphan(t: MemberTransition): MemberTransition {
  const { link, times, leaving, child } = t.member;
  if (link.kind === "up" || leaving?.atOnce === true) return t;
  if (link.sinceMs === undefined) return set(t, { link: { ...link, sinceMs: t.nowMs } });
  if (t.nowMs - link.sinceMs < times.orphanMs) return t;
  const reason = `no coordinator for ${Math.round(times.orphanMs / 1000)} s`;
  if (child.kind === "none") return act(t, { kind: "quit", how: "orphaned", reason });
  const orphaned = { how: "orphaned", reason, sinceMs: t.nowMs, atOnce: true } as const;
  const leave = set(t, { leaving: orphaned, next: undefined });
  return child.kind === "working" ? closeChild(leave, child, false) : leave;
}

/** A coordinator may accept a stream and stand still, or be gone without a word. */
function greetAgain(t: MemberTransition): MemberTransition {
  const { link, times } = t.member;
  if (link.kind !== "greeting" || t.nowMs - link.helloMs < times.welcomeMs) return t;
  return act(set(t, { link: { ...link, helloMs: t.nowMs } }), {
    kind: "reconnect",
    reason: `no answer to the hello in ${times.welcomeMs} ms`,
  });
}

function leaveSilence(t: MemberTransition): MemberTransition {
  const { link, times } = t.member;
  if (link.kind !== "up" || t.nowMs - link.answeredMs < times.unansweredMs) return t;
  return act(set(t, { link: { ...link, answeredMs: t.nowMs } }), {
    kind: "reconnect",
    reason: `no beat was answered for ${times.unansweredMs} ms`,
  });
}

function killStuck(t: MemberTransition): MemberTransition {
  const { child, times } = t.member;
  if (child.kind !== "closing" || t.nowMs - child.sinceMs < times.closeMs) return t;
  // Once more later, should even that not have ended it.
  return act(set(t, { child: { ...child, sinceMs: t.nowMs } }), {
    kind: "kill-child",
    reason: `it was told to end ${times.closeMs} ms ago`,
  });
}

/** A child that says nothing is stopped, or its main thread is blocked. Who is to blame the coordinator decides. */
function watchChild(t: MemberTransition): MemberTransition {
  const { child, times } = t.member;
  if (child.kind !== "working" || child.isSilent) return t;
  if (t.nowMs - child.heardMs < times.childSilentMs) return t;
  const message = `its process has said nothing for ${times.childSilentMs / 1000} s: it is stopped or blocked`;
  const { job } = child.order;
  const told = say(setChild(t, child, { isSilent: true }), {
    ...{ kind: "log", job, level: "warn", message, fields: {} },
  });
  return act(told, { kind: "note", level: "warn", message: `${job}: ${message}` });
}

function beat(t: MemberTransition): MemberTransition {
  const { link, child } = t.member;
  if (link.kind !== "up" || t.nowMs - link.beatenMs < link.beatMs) return t;
  return say(set(t, { link: { ...link, beatenMs: t.nowMs } }), {
    kind: "beat",
    phase: phaseOf(child),
    waitingFor: waitingFor(child),
    natsAgeMs: child.kind === "working" ? child.natsAgeMs : -1,
    shardsDone: child.kind === "working" ? unitsDone(child) : 0,
    residentBytes: child.kind === "working" ? child.residentBytes : 0,
    childSilentMs: child.kind === "working" ? t.nowMs - child.heardMs : -1,
    unitMs: child.kind === "working" ? child.unitMs : -1,
  });
}

/** Shards and checks. */
function unitsDone({ round }: Working): number {
  return round === undefined ? 0 : round.computed.size + round.checked.length;
}

/** For people: what the worker is at. */
function phaseOf(child: Child): string {
  if (child.kind === "none") return "idle";
  if (child.kind === "closing") return "ending";
  const { probe, held, round, step } = child;
  if (probe === undefined) return "preparing";
  if (held === undefined) return child.load === undefined ? "ready" : "loading";
  if (held.step < step) return "applying";
  if (round === undefined) return "waiting";
  if (round.round === "evaluation") return "evaluating";
  const units = round.dealt.length + round.checks.length;
  return unitsDone(child) < units ? "computing" : "exchanging";
}

/** The exchange knows addresses; people and the coordinator know ids. */
function waitingFor(child: Child): readonly string[] {
  if (child.kind !== "working") return [];
  const { members } = child.round ?? { members: [] };
  return members
    .filter(({ address }) => child.waitingFor.includes(address))
    .map(({ workerId }) => workerId);
}

function heldState(child: Child, address: string): HeldState | undefined {
  if (child.kind !== "working" || child.held === undefined) return undefined;
  const { order, held, round, trail } = child;
  const { job, attempt } = order;
  const summed = round?.step === held.step && round.sum !== undefined;
  const ranges = dealtRanges(child, address);
  return { job, attempt, ranges, summed, trail, trial: round?.trial ?? 0, ...held };
}

/** Since when there is no coordinator; a stream that came and went without a welcome was none. */
function lonelySince({ link }: Member): number | undefined {
  return link.kind === "up" ? undefined : link.sinceMs;
}
