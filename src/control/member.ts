import { takeChildEvent } from "./memberChild.js";
import type { MemberAction, MemberEvent } from "./memberEvent.js";
import { sayPrepared, takeJobCommand, takePrepare, takeRelease } from "./memberJob.js";
import { leave, leaveAtOnce, quitIfDone, sayLeaving } from "./memberLeaving.js";
import { disconnect, greet, takeHeard, tick } from "./memberLink.js";
import {
  act,
  say,
  set,
  type Child,
  type Identity,
  type Member,
  type MemberTimes,
  type MemberTransition,
} from "./memberState.js";
import type { HeldState, Task, TaskEvent, WorkerCommand } from "./message.js";

export type { Member } from "./memberState.js";

/**
 * The worker's side of the control plane: one supervisor, its stream to the coordinator, and at
 * most one child. A stream that ends costs nothing: the child goes on with what it was told, and
 * the next hello says what it holds.
 */

/** The unanswered times are well within the coordinator's lease, so that the worker is back before it ends. */
export const memberTimes: MemberTimes = {
  closeMs: 5_000,
  orphanMs: 600_000,
  graceMs: 30_000,
  lonelyMs: 5_000,
  welcomeMs: 3_000,
  unansweredMs: 3_000,
  childSilentMs: 5_000,
};

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
    tickedMs: undefined,
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
      return disconnect(t);
    case "command":
      return obey(t, event.term, event.command);
    case "child":
      return takeChildEvent(t, event.event);
    case "task":
      return takeTaskEvent(t, event.event);
    case "leave":
      return event.atOnce ? leaveAtOnce(t, event.reason) : leave(t, event.reason);
    case "tick":
      return tick(t);
  }
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
    case "heard":
      return takeHeard(so);
    case "refuse":
      return act(so, { kind: "quit", how: "dismissed", reason: command.reason });
    case "spare":
      return act(so, { kind: "note", level: "info", message: `spare: ${command.reason}` });
    case "prepare":
      return so.member.leaving === undefined ? takePrepare(so, command.order) : so;
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
    case "drain":
      return leave(so, command.reason);
  }
}

/**
 * A child that holds no state is not in the hello: its probe tells of it. One that was in the hello
 * and has ended before the answer to it came is told of now.
 */
function welcome(t: MemberTransition, beatMs: number): MemberTransition {
  const { link, child } = t.member;
  const up = sayLeaving(
    set(t, { link: { kind: "up", beatMs, beatenMs: t.nowMs, answeredMs: t.nowMs } }),
  );
  const held = link.kind === "greeting" ? link.held : undefined;
  if (held !== undefined && !isAtWork(child, held)) {
    const { job, attempt } = held;
    const message = "its process ended before the coordinator had answered";
    return say(up, { kind: "failed", job, attempt, cause: "exit", message });
  }
  return child.kind === "working" && child.held === undefined && child.load === undefined
    ? sayPrepared(up, child)
    : up;
}

function isAtWork(child: Child, { job, attempt }: HeldState): boolean {
  return child.kind === "working" && child.order.job === job && child.order.attempt === attempt;
}

function takeTask(t: MemberTransition, taskId: string, task: Task): MemberTransition {
  const { tasks, leaving } = t.member;
  if (!tasks.has(taskId)) {
    if (leaving !== undefined) return t;
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
  return quitIfDone(say(set(t, { tasks }), event));
}

function cancelTask(t: MemberTransition, taskId: string): MemberTransition {
  const tasks = new Map(t.member.tasks);
  if (!tasks.delete(taskId)) return t;
  return quitIfDone(act(set(t, { tasks }), { kind: "stop-task", taskId }));
}
