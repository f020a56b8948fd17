import type { Member, TaskState, Transition } from "./fleetState.js";
import type { FailureCause, Task, TaskEvent } from "./message.js";
import { isIdle } from "./participation.js";
import { change, emit, forEach, send, withEntry, withoutKey } from "./transition.js";

/** Work apart from any job: given to one connected worker, and to another if that one is lost. */

export function submitTask(t: Transition, taskId: string, task: Task): Transition {
  if (t.fleet.tasks.has(taskId)) return t;
  return put(t, taskId, { task, worker: undefined, sinceMs: t.fleet.clock.awakeMs });
}

export function cancelTask(t: Transition, taskId: string): Transition {
  const state = t.fleet.tasks.get(taskId);
  if (state === undefined) return t;
  const gone = remove(t, taskId);
  return state.worker === undefined
    ? gone
    : send(gone, state.worker.workerId, { kind: "cancel-task", taskId });
}

/** Only who was given the task is heard about it. */
export function takeTaskEvent(t: Transition, member: Member, event: TaskEvent): Transition {
  if (t.fleet.tasks.get(event.taskId)?.worker?.incarnation !== member.incarnation) return t;
  switch (event.kind) {
    case "task-progress":
      return emit(t, event);
    case "task-done":
    case "task-failed":
      return emit(remove(t, event.taskId), event);
  }
}

/** Repeats to a worker that is back what it was given. */
export function repeatTasks(t: Transition, { workerId, incarnation }: Member): Transition {
  return forEach(t, t.fleet.tasks, (so, [taskId, { task, worker }]) =>
    worker?.incarnation === incarnation ? send(so, workerId, { kind: "task", taskId, task }) : so,
  );
}

/** Gives out what nobody works on. */
export function assignTasks(t: Transition): Transition {
  return forEach(t, t.fleet.tasks, (so, [taskId, state]) =>
    assign(takeBack(so, taskId, state), taskId),
  );
}

function takeBack(t: Transition, taskId: string, state: TaskState): Transition {
  const { worker } = state;
  if (worker === undefined) return t;
  const member = t.fleet.members.get(worker.workerId);
  return member?.incarnation === worker.incarnation && member.link.kind !== "lost"
    ? t
    : put(t, taskId, { ...state, worker: undefined, sinceMs: t.fleet.clock.awakeMs });
}

function assign(t: Transition, taskId: string): Transition {
  const state = t.fleet.tasks.get(taskId);
  if (state === undefined || state.worker !== undefined) return t;
  const { options, clock } = t.fleet;
  const member = choose(t);
  if (member !== undefined) {
    const { workerId, incarnation } = member;
    const given = put(t, taskId, { ...state, worker: { workerId, incarnation } });
    return send(given, workerId, { kind: "task", taskId, task: state.task });
  }
  if (clock.awakeMs - state.sinceMs < options.taskWaitMs) return t;
  const cause: FailureCause = "error";
  const message = `no worker is connected; start one with \`${options.joinLine}\``;
  return emit(remove(t, taskId), { kind: "task-failed", taskId, cause, message });
}

/** Idle ones first, then those with the fewest tasks, then by id. */
function choose({ fleet }: Transition): Member | undefined {
  const load = (member: Member): number =>
    [...fleet.tasks.values()].filter(({ worker }) => worker?.incarnation === member.incarnation)
      .length + (isIdle(fleet, member) ? 0 : 1_000_000);
  return [...fleet.members.values()]
    .filter(({ link, leaving }) => link.kind === "connected" && leaving === undefined)
    .toSorted((a, b) => load(a) - load(b) || (a.workerId < b.workerId ? -1 : 1))[0];
}

function put(t: Transition, taskId: string, state: TaskState): Transition {
  return change(t, { tasks: withEntry(t.fleet.tasks, taskId, state) });
}

function remove(t: Transition, taskId: string): Transition {
  return change(t, { tasks: withoutKey(t.fleet.tasks, taskId) });
}
