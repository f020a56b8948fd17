import { endChild, takeChildEvent } from "./memberChild.js";
import type { MemberAction, MemberEvent } from "./memberEvent.js";
import type { TaskEvent } from "./message.js";
import { sayPrepared, takeJobCommand, takePrepare, takeRelease } from "./memberJob.js";
import { dealtRanges } from "./memberRound.js";
import { act, say, set } from "./memberState.js";
import type { Child, Identity, Member, MemberTimes, MemberTransition } from "./memberState.js";
import type { HeldState, Task, WorkerCommand } from "./message.js";

export type { Member } from "./memberState.js";

/**
 * The worker's side of the control plane: one supervisor, its stream to the coordinator, and at
 * most one child. A stream that ends costs nothing: the child goes on with what it was told, and
 * the next hello says what it holds.
 */

const memberTimes: MemberTimes = { closeMs: 5_000, orphanMs: 60_000, welcomeMs: 10_000 };

/** Ends of tasks that are kept, to be said again after a cut. */
const tasksKept = 16;

export function emptyMember(identity: Identity, times: MemberTimes = memberTimes): Member {
  return {
    identity,
    times,
    term: 0,
    link: { kind: "down", sinceMs: undefined },
    child: { kind: "none" },
    next: undefined,
    tasks: new Map(),
    kills: undefined,
    leaving: undefined,
  };
}

export function advanceMember(
  member: Member,
  event: MemberEvent,
): { readonly member: Member; readonly actions: readonly MemberAction[] } {
  return take({ member, actions: [], nowMs: event.nowMs }, event);
}

function take(t: MemberTransition, event: MemberEvent): MemberTransition {
  switch (event.kind) {
    case "connected":
      return greet(t);
    case "disconnected":
      return set(t, { link: { kind: "down", sinceMs: lonelySince(t.member) ?? t.nowMs } });
    case "command":
      return obey(t, event.term, event.command);
    case "child":
      return takeChildEvent(t, event.event);
    case "task":
      return takeTaskEvent(t, event.event);
    case "leave":
      return leave(t, event.reason);
    case "tick":
      return beat(greetAgain(killStuck(endOrphan(t))));
  }
}

function greet(t: MemberTransition): MemberTransition {
  const { identity, term, child, leaving } = t.member;
  if (leaving !== undefined) return t;
  const sinceMs = lonelySince(t.member) ?? t.nowMs;
  const link = { kind: "greeting", sinceMs, helloMs: t.nowMs } as const;
  return act(set(t, { link }), {
    kind: "to-coordinator",
    event: { kind: "hello", ...identity, term, held: heldState(child, identity.incarnation) },
  });
}

/** A coordinator of a lower term than one obeyed has been replaced: nothing that it says is done. */
function obey(t: MemberTransition, term: number, command: WorkerCommand): MemberTransition {
  const { term: highest } = t.member;
  if (term < highest) {
    const reason = `the coordinator's term ${term} is over: ${highest} was obeyed`;
    return act(t, { kind: "reconnect", reason });
  }
  const so = set(t, { term });
  switch (command.kind) {
    case "welcome":
      return welcome(so, command.beatMs);
    case "refuse":
      return act(so, { kind: "quit", refused: true, reason: command.reason });
    case "spare":
      return act(so, { kind: "note", level: "info", message: `spare: ${command.reason}` });
    case "prepare":
      return takePrepare(so, command.order);
    case "release":
      return takeRelease(so, command.job);
    case "load":
    case "offer":
    case "round":
    case "commit":
    case "save":
      return takeJobCommand(so, command);
    case "task":
      return takeTask(so, command.taskId, command.task);
    case "cancel-task":
      return cancelTask(so, command.taskId);
  }
}

/** A child that holds no state is not in the hello: its probe tells of it. */
function welcome(t: MemberTransition, beatMs: number): MemberTransition {
  const up = set(t, { link: { kind: "up", beatMs, beatenMs: t.nowMs } });
  const { child } = up.member;
  return child.kind === "working" && child.held === undefined && child.load === undefined
    ? sayPrepared(up, child)
    : up;
}

function takeTask(t: MemberTransition, taskId: string, task: Task): MemberTransition {
  const { tasks } = t.member;
  if (!tasks.has(taskId)) {
    const running = set(t, { tasks: new Map(tasks).set(taskId, undefined) });
    return act(running, { kind: "start-task", taskId, task });
  }
  const end = tasks.get(taskId);
  return end === undefined ? t : say(t, end);
}

function takeTaskEvent(t: MemberTransition, event: TaskEvent): MemberTransition {
  if (!t.member.tasks.has(event.taskId)) return t;
  if (event.kind === "task-progress") return say(t, event);
  const tasks = new Map(t.member.tasks).set(event.taskId, event);
  const ended = [...tasks].flatMap(([taskId, end]) => (end === undefined ? [] : taskId));
  for (const taskId of ended.slice(0, -tasksKept)) tasks.delete(taskId);
  return say(set(t, { tasks }), event);
}

function cancelTask(t: MemberTransition, taskId: string): MemberTransition {
  const tasks = new Map(t.member.tasks);
  if (!tasks.delete(taskId)) return t;
  return act(set(t, { tasks }), { kind: "stop-task", taskId });
}

function leave(t: MemberTransition, reason: string): MemberTransition {
  const told = endChild(set(say(t, { kind: "leave", reason }), { leaving: reason }));
  return told.member.child.kind === "none"
    ? act(told, { kind: "quit", refused: false, reason })
    : told;
}

function endOrphan(t: MemberTransition): MemberTransition {
  const { link, times } = t.member;
  if (link.kind === "up") return t;
  if (link.sinceMs === undefined) return set(t, { link: { ...link, sinceMs: t.nowMs } });
  return t.nowMs - link.sinceMs >= times.orphanMs ? endChild(t) : t;
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

function killStuck(t: MemberTransition): MemberTransition {
  const { child, times } = t.member;
  if (child.kind !== "closing" || t.nowMs - child.sinceMs < times.closeMs) return t;
  // Once more later, should even that not have ended it.
  return act(set(t, { child: { ...child, sinceMs: t.nowMs } }), {
    kind: "kill-child",
    reason: `it was told to end ${times.closeMs} ms ago`,
  });
}

function beat(t: MemberTransition): MemberTransition {
  const { link, child } = t.member;
  if (link.kind !== "up" || t.nowMs - link.beatenMs < link.beatMs) return t;
  return say(set(t, { link: { ...link, beatenMs: t.nowMs } }), {
    kind: "beat",
    phase: phaseOf(child),
    waitingFor: waitingFor(child).join(", "),
    natsAgeMs: child.kind === "working" ? child.natsAgeMs : -1,
    shardsDone: child.kind === "working" ? (child.round?.computed.size ?? 0) : 0,
    residentBytes: child.kind === "working" ? child.residentBytes : 0,
  });
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
  return round.computed.size < round.dealt.length ? "computing" : "exchanging";
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
  const { job, attempt } = child.order;
  return { job, attempt, ...child.held, ranges: dealtRanges(child, address) };
}

/** Since when there is no coordinator; a stream that came and went without a welcome was none. */
function lonelySince({ link }: Member): number | undefined {
  return link.kind === "up" ? undefined : link.sinceMs;
}
