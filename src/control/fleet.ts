import { assert } from "../job/problem.js";
import { decideBoundary, decideJoining, decideParting } from "./boundary.js";
import { awaken } from "./clock.js";
import { disbelief } from "./credible.js";
import { decideReleasing, failUnwritable } from "./ending.js";
import type { FleetCommand, FleetEvent, FleetOptions, Origin } from "./fleetEvent.js";
import type { Fleet, Hello, LoggedLines, Member, Transition } from "./fleetState.js";
import { logAllProgress, nothingLogged } from "./history.js";
import { synchronise, takeJobEvent, takeReleased } from "./jobEvents.js";
import { JobRecords } from "./jobRecords.js";
import { askKeeper } from "./keeper.js";
import { closeRecords, keepRecords } from "./keeping.js";
import { drainWorker, releaseStateless, repeatDrain, takeLeaving } from "./leaving.js";
import { decideLoading } from "./loading.js";
import {
  disconnected,
  disown,
  expire,
  expose,
  heard,
  lose,
  present,
  register,
  turnAway,
} from "./members.js";
import type { WorkerEvent } from "./message.js";
import { natsChanged } from "./nats.js";
import { beaten } from "./progress.js";
import { cancel, remove, resume, submit } from "./queue.js";
import { hasEnded, isActive, type JobRecord } from "./record.js";
import { decideRecovering, recoveredRun } from "./recovery.js";
import { settleReserves } from "./reserve.js";
import { decideRound } from "./round.js";
import { decideSaving } from "./saving.js";
import { decideJudging } from "./vouching.js";
import { schedule } from "./schedule.js";
import { decideGathering } from "./starting.js";
import { assignTasks, cancelTask, repeatTasks, submitTask, takeTaskEvent } from "./tasks.js";
import { emit, focus, forEach, runOf, runWith } from "./transition.js";

/**
 * The control plane: members and leases, the queue, and the run of a job, as one function of an
 * event. An event first only changes what is known; what follows from it is then decided, again
 * and again until nothing more does.
 */

/** More decisions than this after one event are a circle. */
const decisionsMax = 1000;

/**
 * What a coordinator knows when it starts: the records, the lines that the jobs' logs have, and
 * that workers may hold what they had.
 */
export function emptyFleet(
  options: FleetOptions,
  records: readonly JobRecord[],
  logged: ReadonlyMap<string, LoggedLines>,
  nowMs: number,
): Fleet {
  // The logs of jobs that ended long ago were not looked at, and lack nothing.
  const isClosed = ({ name, state }: JobRecord): boolean => hasEnded(state) && !logged.has(name);
  const open = records.filter((record) => !isClosed(record));
  return {
    options,
    clock: { awakeMs: 0, owedMs: 0, lastMs: nowMs, wallMs: 0 },
    members: new Map(),
    records: new JobRecords(
      new Map(open.map((record) => [record.name, afterStart(record)])),
      new Map(records.filter(isClosed).map((record) => [record.name, record])),
    ),
    kept: new Map(open.map((record) => [record.name, { record, atMs: 0 }])),
    nats: { isUp: true, awayMs: -Infinity },
    runs: new Map(
      records
        .filter(({ state }) => isActive(state))
        .map((record) => [record.name, recoveredRun(record, 0)]),
    ),
    tasks: new Map(),
    logged: new Map(open.map(({ name }) => [name, logged.get(name) ?? nothingLogged])),
  };
}

export function advance(
  fleet: Fleet,
  event: FleetEvent,
): { readonly fleet: Fleet; readonly commands: readonly FleetCommand[] } {
  const clock = awaken(fleet.clock, event, fleet.options.tickMs);
  const settled = settle(take({ fleet: { ...fleet, clock }, commands: [], job: "" }, event));
  return closeRecords(keepRecords(logAllProgress(settled), event));
}

function take(t: Transition, event: FleetEvent): Transition {
  switch (event.kind) {
    case "worker":
      return event.event.kind === "hello"
        ? takeHello(t, event.event, event.origin)
        : takeWorkerEvent(t, event, event.event);
    case "disconnected":
      return present(t, event) === undefined ? t : disconnected(t, event.workerId);
    case "token-revoked":
      return disown(t, event.token);
    case "nats":
      return natsChanged(t, event.isUp);
    case "tick":
      return t;
    case "submit":
      return submit(t, event.record);
    case "unwritable":
      return failUnwritable(t, event.job, event.problem);
    case "cancel":
      return cancel(t, event.job);
    case "resume":
      return resume(t, event.job);
    case "remove":
      return remove(t, event.job);
    case "drain":
      return drainWorker(t, event.workerId);
    case "task":
      return submitTask(t, event.taskId, event.task);
    case "cancel-task":
      return cancelTask(t, event.taskId);
  }
}

function takeHello(t: Transition, hello: Hello, origin: Origin): Transition {
  const { workerId, incarnation, term } = hello;
  if (term > t.fleet.options.term) {
    const reason = `this coordinator's term ${t.fleet.options.term} is over: ${workerId} has obeyed term ${term}`;
    return emit(t, { kind: "close", workerId, incarnation, reason });
  }
  const lie = disbelief(t.fleet, hello);
  if (lie !== undefined) return turnAway(t, hello, lie);
  const registered = register(t, hello, origin);
  const member = present(registered, hello);
  if (member === undefined) return registered;
  return repeatTasks(repeatDrain(synchronise(registered, member), member), member);
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
  const lie = disbelief(t.fleet, event);
  if (lie !== undefined) return expose(t, member, lie);
  const so = heard(t, member, event);
  switch (event.kind) {
    case "beat":
      return takeBeat(so, member.workerId, event.shardsDone);
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
    case "log":
      return takeLine(so, member, event);
    case "leaving":
      return takeLeaving(so, member.workerId, event.reason);
    case "leave":
      return lose(so, member.workerId, `it left: ${event.reason}`, false);
  }
}

/** A job's log is of those who take part in it, to the end of their process for it. */
function takeLine(
  t: Transition,
  { workerId, closing }: Member,
  { job, level, message, fields: said }: Extract<WorkerEvent, { readonly kind: "log" }>,
): Transition {
  if (runWith(t.fleet, workerId)?.job !== job && closing?.job !== job) return t;
  return emit(t, { kind: "log", job, level, message, fields: { worker: workerId }, said });
}

function takeBeat(t: Transition, workerId: string, shardsDone: number): Transition {
  const run = runWith(t.fleet, workerId);
  return run === undefined ? t : focus(t, run.job, (so) => beaten(so, workerId, shardsDone));
}

function settle(t: Transition): Transition {
  let settled = expire(t);
  for (let count = 0; count < decisionsMax; count += 1) {
    const next = decide(settled);
    if (next.fleet === settled.fleet) return next;
    settled = next;
  }
  const phases = [...t.fleet.runs].map(([job, { phase }]) => `${job} ${phase.kind}`);
  assert(false, `no end of decisions: ${phases.join(", ")}`);
}

function decide(t: Transition): Transition {
  const decided = assignTasks(forEach(t, t.fleet.runs.keys(), decideJob));
  // Workers are given out last: a job may just have come to its end, or to a new attempt.
  return decided.fleet === t.fleet ? schedule(t) : decided;
}

function decideJob(t: Transition, job: string): Transition {
  return focus(t, job, (so) => decidePhase(releaseStateless(settleReserves(so))));
}

function decidePhase(t: Transition): Transition {
  const { phase } = runOf(t);
  switch (phase.kind) {
    case "gathering":
      return decideGathering(t, phase);
    case "loading":
      return decideLoading(t, phase);
    case "boundary":
      return decideBoundary(t);
    case "parting":
      return decideParting(t, phase);
    case "joining":
      return decideJoining(t, phase);
    case "round":
      return decideRound(askKeeper(t), phase);
    case "judging":
      return decideJudging(t, phase);
    case "saving":
      return decideSaving(t, phase);
    case "releasing":
      return decideReleasing(t, phase.outcome);
    case "recovering":
      return decideRecovering(t, phase);
  }
}

/** What was under way waits for its workers. */
function afterStart(record: JobRecord): JobRecord {
  if (!isActive(record.state) || record.state === "cancelling") return record;
  return { ...record, state: "waiting", reason: "the coordinator has started again" };
}
