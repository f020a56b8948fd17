import { assert } from "../job/problem.js";
import { decideBoundary, decideJoining } from "./boundary.js";
import { awaken } from "./clock.js";
import { decideReleasing } from "./ending.js";
import type { FleetCommand, FleetEvent, FleetOptions } from "./fleetEvent.js";
import type { Fleet, Hello, Transition } from "./fleetState.js";
import { synchronise, takeJobEvent, takeReleased } from "./jobEvents.js";
import { keepRecords } from "./keeping.js";
import { disconnected, expire, heard, lose, present, register } from "./members.js";
import type { WorkerEvent } from "./message.js";
import { invite } from "./participation.js";
import { natsChanged } from "./nats.js";
import { beaten } from "./progress.js";
import { activeJob, cancel, resume, startNext, submit } from "./queue.js";
import type { JobRecord } from "./record.js";
import { decideRecovering, recoveredRun } from "./recovery.js";
import { decideRound } from "./round.js";
import { decideSaving } from "./saving.js";
import { decideGathering, decideLoading } from "./starting.js";
import { assignTasks, cancelTask, repeatTasks, submitTask, takeTaskEvent } from "./tasks.js";
import { emit, recordOf } from "./transition.js";
import { nextWork } from "./work.js";

/**
 * The control plane: members and leases, the queue, and the run of a job, as one function of an
 * event. An event first only changes what is known; what follows from it is then decided, again
 * and again until nothing more does.
 */

/** More decisions than this after one event are a circle. */
const decisionsMax = 1000;

/** What a coordinator knows when it starts: the records, and that workers may hold what they had. */
export function emptyFleet(
  options: FleetOptions,
  records: readonly JobRecord[],
  nowMs: number,
): Fleet {
  const active = activeJob(records);
  return {
    options,
    clock: { awakeMs: 0, owedMs: 0, lastMs: nowMs, wallMs: 0 },
    members: new Map(),
    records: new Map(records.map((record) => [record.name, afterStart(record, active)])),
    kept: new Map(records.map((record) => [record.name, { record, atMs: 0 }])),
    nats: { isUp: true, awayMs: -Infinity },
    run:
      active === undefined
        ? undefined
        : recoveredRun(active.name, active.state === "cancelling", options.leaseMs),
    tasks: new Map(),
  };
}

export function advance(
  fleet: Fleet,
  event: FleetEvent,
): { readonly fleet: Fleet; readonly commands: readonly FleetCommand[] } {
  const clock = awaken(fleet.clock, event, fleet.options.tickMs);
  return keepRecords(settle(take({ fleet: { ...fleet, clock }, commands: [] }, event)), event);
}

function take(t: Transition, event: FleetEvent): Transition {
  switch (event.kind) {
    case "worker":
      return event.event.kind === "hello"
        ? takeHello(t, event.event)
        : takeWorkerEvent(t, event, event.event);
    case "disconnected":
      return present(t, event) === undefined ? t : disconnected(t, event.workerId);
    case "nats":
      return natsChanged(t, event.isUp);
    case "tick":
      return t;
    case "submit":
      return submit(t, event.record);
    case "cancel":
      return cancel(t, event.job);
    case "resume":
      return resume(t, event.job);
    case "task":
      return submitTask(t, event.taskId, event.task);
    case "cancel-task":
      return cancelTask(t, event.taskId);
  }
}

function takeHello(t: Transition, hello: Hello): Transition {
  const { workerId, incarnation, term } = hello;
  if (term > t.fleet.options.term) {
    const reason = `this coordinator's term ${t.fleet.options.term} is over: ${workerId} has obeyed term ${term}`;
    return emit(t, { kind: "close", workerId, incarnation, reason });
  }
  const registered = register(t, hello);
  const member = present(registered, hello);
  return member === undefined ? registered : repeatTasks(synchronise(registered, member), member);
}

function takeWorkerEvent(
  t: Transition,
  source: { readonly workerId: string; readonly incarnation: string },
  event: Exclude<WorkerEvent, Hello>,
): Transition {
  const member = present(t, source);
  if (member === undefined) {
    // Who was given up for lost has to say again who it is and what it holds.
    const { workerId, incarnation } = source;
    return emit(t, { kind: "close", workerId, incarnation, reason: "register again" });
  }
  const so = heard(t, member.workerId, event);
  switch (event.kind) {
    case "beat":
      return beaten(so, member.workerId, event.shardsDone);
    case "prepared":
    case "loaded":
    case "report":
    case "applied":
    case "saved":
    case "save-failed":
    case "failed":
      return takeJobEvent(so, member, event);
    case "released":
      return takeReleased(so, member, event.job);
    case "task-progress":
    case "task-done":
    case "task-failed":
      return takeTaskEvent(so, member, event);
    case "log": {
      const { job, level, message } = event;
      const fields = { worker: member.workerId, ...event.fields };
      return emit(so, { kind: "log", job, level, message, fields });
    }
    case "leave":
      return lose(so, member.workerId, `it left: ${event.reason}`, false);
  }
}

function settle(t: Transition): Transition {
  let settled = expire(t);
  for (let count = 0; count < decisionsMax; count += 1) {
    const next = decide(settled);
    if (next.fleet === settled.fleet) return next;
    settled = next;
  }
  assert(false, `no end of decisions in phase ${t.fleet.run?.phase.kind ?? "none"}`);
}

function decide(t: Transition): Transition {
  const decided = assignTasks(decidePhase(startNext(t)));
  // Workers are asked last: the job may just have come to its end, or to a new attempt.
  return decided.fleet === t.fleet && hasRoom(t) ? invite(t) : decided;
}

/** Whether another worker would be of use to the job under way. */
function hasRoom(t: Transition): boolean {
  const { run } = t.fleet;
  if (run === undefined || run.cancelled) return false;
  switch (run.phase.kind) {
    case "gathering":
    case "loading":
      return true;
    case "boundary":
    case "joining":
    case "round":
      return nextWork(recordOf(t)).kind === "round";
    case "saving":
    case "releasing":
    case "recovering":
      return false;
  }
}

function decidePhase(t: Transition): Transition {
  const { run } = t.fleet;
  if (run === undefined) return t;
  const { phase } = run;
  switch (phase.kind) {
    case "gathering":
      return decideGathering(t, phase);
    case "loading":
      return decideLoading(t);
    case "boundary":
      return decideBoundary(t);
    case "joining":
      return decideJoining(t, phase);
    case "round":
      return decideRound(t, phase);
    case "saving":
      return decideSaving(t, phase);
    case "releasing":
      return decideReleasing(t, phase.outcome);
    case "recovering":
      return decideRecovering(t, phase);
  }
}

/** What was under way waits for its workers. */
function afterStart(record: JobRecord, active: JobRecord | undefined): JobRecord {
  if (record.name !== active?.name || record.state === "cancelling") return record;
  return { ...record, state: "waiting", reason: "the coordinator has started again" };
}
