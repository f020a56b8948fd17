import { assert } from "../job/problem.js";
import type { FleetCommand, LogFields } from "./fleetEvent.js";
import type { Fleet, Member, Participant, Phase, Run, Transition } from "./fleetState.js";
import type { LogLevel, WorkerCommand } from "./message.js";
import type { JobRecord } from "./record.js";
import type { Voter } from "./voting.js";

/** Small steps that the rules are made of: each takes what has become so far and gives what it has become. */

export function change(t: Transition, part: Partial<Fleet>): Transition {
  return { ...t, fleet: { ...t.fleet, ...part } };
}

export function emit(t: Transition, ...commands: readonly FleetCommand[]): Transition {
  return { ...t, commands: [...t.commands, ...commands] };
}

export function changeMember(t: Transition, workerId: string, part: Partial<Member>): Transition {
  const member = t.fleet.members.get(workerId);
  assert(member !== undefined, `no member ${workerId}`);
  return withMember(t, { ...member, ...part });
}

export function withMember(t: Transition, member: Member): Transition {
  const members = withEntry(t.fleet.members, member.workerId, member);
  return { ...t, fleet: { ...t.fleet, members } };
}

/** Takes a step that is about that job. */
export function focus(t: Transition, job: string, step: (t: Transition) => Transition): Transition {
  const done = step(t.job === job ? t : { ...t, job });
  return done.job === t.job ? done : { ...done, job: t.job };
}

/** The run of the job in focus; only called where there is one. */
export function runOf(t: Transition): Run {
  const run = t.fleet.runs.get(t.job);
  assert(run !== undefined, `no job "${t.job}" is under way`);
  return run;
}

export function changeRun(t: Transition, part: Partial<Run>): Transition {
  return withRun(t, { ...runOf(t), ...part });
}

function withRun(t: Transition, run: Run): Transition {
  return { ...t, fleet: { ...t.fleet, runs: withEntry(t.fleet.runs, t.job, run) } };
}

/** The job in focus is not under way any more. */
export function endRun(t: Transition): Transition {
  return change(t, { runs: withoutKey(t.fleet.runs, t.job) });
}

/** The run that the worker takes part in. */
export function runWith(fleet: Fleet, workerId: string): Run | undefined {
  for (const run of fleet.runs.values()) if (run.participants.has(workerId)) return run;
  return undefined;
}

export function enter(t: Transition, phase: Phase): Transition {
  return withRun(t, { ...runOf(t), phase });
}

export function changeParticipant(
  t: Transition,
  workerId: string,
  part: Partial<Participant>,
): Transition {
  const { participants } = runOf(t);
  const participant = participants.get(workerId);
  assert(participant !== undefined, `${workerId} takes no part in the job`);
  return changeRun(t, {
    participants: withEntry(participants, workerId, { ...participant, ...part }),
  });
}

/** The record of the job in focus. */
export function recordOf(t: Transition): JobRecord {
  return recordNamed(t.fleet, runOf(t).job);
}

export function recordNamed(fleet: Fleet, job: string): JobRecord {
  const record = fleet.records.get(job);
  assert(record !== undefined, `no record of job ${job}`);
  return record;
}

export function changeRecord(t: Transition, job: string, part: Partial<JobRecord>): Transition {
  const before = recordNamed(t.fleet, job);
  const records = t.fleet.records.with({ ...before, ...part });
  // Of a job that is open its log may lack lines; of one that was closed it has all, and more after a rewind.
  if (!t.fleet.records.isClosed(job) || t.fleet.logged.has(job)) return change(t, { records });
  const hasEvaluation = before.evaluations.some(({ step }) => step === before.step);
  const all = { step: before.step, hasEvaluation };
  return change(t, { records, logged: withEntry(t.fleet.logged, job, all) });
}

/** Changes the record of the job in focus. */
export function note(t: Transition, part: Partial<JobRecord>): Transition {
  return changeRecord(t, runOf(t).job, part);
}

/** Says in the record what the job is doing and why; one that is being cancelled stays so. */
export function describe(t: Transition, state: JobRecord["state"], reason = ""): Transition {
  const record = recordOf(t);
  const { cancelled, suspended } = runOf(t);
  const shown = cancelled && !suspended ? "cancelling" : state;
  if (record.state === shown && record.reason === reason) return t;
  return note(t, { state: shown, reason });
}

/** Sends to a connected worker; to one that is away, nothing: it is told again when it is back. */
export function send(t: Transition, workerId: string, command: WorkerCommand): Transition {
  const member = t.fleet.members.get(workerId);
  if (member?.link.kind !== "connected") return t;
  return emit(t, { kind: "send", workerId, incarnation: member.incarnation, command });
}

/** A line of the log of the job in focus. */
export function log(
  t: Transition,
  level: LogLevel,
  message: string,
  fields: LogFields = {},
): Transition {
  const { name, generation, attempt } = recordOf(t);
  return emit(t, {
    kind: "log",
    job: name,
    level,
    message,
    fields: { attempt, generation, ...fields },
  });
}

export function withEntry<Key, Value>(
  map: ReadonlyMap<Key, Value>,
  key: Key,
  value: Value,
): ReadonlyMap<Key, Value> {
  return new Map(map).set(key, value);
}

export function withoutKey<Key, Value>(
  map: ReadonlyMap<Key, Value>,
  key: Key,
): ReadonlyMap<Key, Value> {
  return withoutKeys(map, [key]);
}

export function withoutKeys<Key, Value>(
  map: ReadonlyMap<Key, Value>,
  keys: readonly Key[],
): ReadonlyMap<Key, Value> {
  const rest = new Map(map);
  for (const key of keys) rest.delete(key);
  return rest;
}

/** Applies a step for each item in turn. */
export function forEach<Item>(
  t: Transition,
  items: Iterable<Item>,
  step: (t: Transition, item: Item) => Transition,
): Transition {
  let result = t;
  for (const item of items) result = step(result, item);
  return result;
}

/** Members as they count where they contradict each other. */
export function votersOf({ fleet }: Transition, workerIds: readonly string[]): readonly Voter[] {
  return workerIds.map((workerId) => {
    const { token = "", address = "" } = fleet.members.get(workerId)?.origin ?? {};
    return { workerId, token, address };
  });
}
