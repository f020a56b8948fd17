/**
 * What a coordinator knows of the jobs of its predecessors, and how it is kept: in NATS, where only its holder of the lock may
 * write, and once more in the store. A record that NATS has lost is taken from the store.
 */
import type { LoggedLines } from "../src/control/fleetState.js";
import { hasEnded, isActive, revived, type JobRecord } from "../src/control/record.js";
import type { Emptied, RecordStore } from "../src/link/jetstream.js";
import type { Logger } from "../src/process/logger.js";
import type { Store } from "../src/store/store.js";
import { jobRecord } from "../src/wire/jobRecord.js";
import { JobLogs } from "./logs.js";
import { Mirror } from "./mirror.js";
import { Copies, type Mirrored } from "./mirrorFiles.js";
import { Records } from "./records.js";

export interface MemoryOptions {
  readonly durable: RecordStore;
  readonly store: Store;
  /** Of the lock that we hold, now: it is raised at times. */
  readonly term: () => number;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** Whether we hold the lock now, however long it takes to know. */
  readonly isHolder: () => Promise<boolean>;
  /** A record of the job cannot be kept: another is to be, in which the job has failed. */
  readonly onUnwritable: (job: string, problem: string) => void;
  /** Whether the removal of that job was begun. */
  readonly isRemoved?: (job: string) => boolean;
  /** Called once: act no more. */
  readonly onConflict: (reason: string) => void;
}

export interface Memory {
  readonly found: readonly JobRecord[];
  /** By job: why its record cannot be used. It stays as it is, and its name taken. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Of jobs whose removal was begun, and is to be ended. */
  readonly halfRemoved: readonly JobRecord[];
  /** Which lines of their steps the jobs' logs have. */
  readonly logged: ReadonlyMap<string, LoggedLines>;
  readonly logs: JobLogs;
  /** Resolves once the record is durable in NATS. */
  store(record: JobRecord): Promise<void>;
  /** Writes the record some time. */
  put(record: JobRecord): void;
  /** Leaves nothing of the job's log and record. The record goes last, and tells until then that there is something to remove. */
  remove(job: string): Promise<void>;
  /** NATS has lost what it held. */
  writeAgain(what: Emptied, records: Iterable<JobRecord>): void;
  flush(deadlineMs: number): Promise<void>;
}

export async function openMemory(options: MemoryOptions): Promise<Memory> {
  const { durable, store, signal, logger, isHolder, onUnwritable, onConflict } = options;
  const { isRemoved = () => false } = options;
  const { records, found, unreadable } = await Records.open({
    ...{ bucket: durable.jobs, codec: jobRecord, signal, isHolder, onUnwritable, onConflict },
  });
  const there = found.filter(({ name }) => !isRemoved(name));
  const known = new Map(there.map((record) => [record.name, record]));
  const copies = await Copies.list(store, jobRecord);
  const doubtful = copies.jobs().filter((job) => copies.mayBeAhead(job, known.get(job)));
  const read = await copies.read(doubtful.filter((job) => !isRemoved(job)));
  // NATS may have lost the record of a job whose removal was begun; the copy goes late, too.
  const begun = await copies.read(copies.jobs().filter((job) => isRemoved(job)));
  const halfRemoved = [
    ...new Map(
      [
        ...begun.found.map(({ record }) => record),
        ...found.filter(({ name }) => isRemoved(name)),
      ].map((record) => [record.name, record]),
    ).values(),
  ];
  for (const reason of read.damaged) logger.warn({ reason }, "the copy of a record is of no use");
  const mirror = openMirror(options, read.found);
  const logs = openLogs(options, mirror, copies);
  const lost = read.found.flatMap((copy) => {
    const record = revived(copy.record, known.get(copy.record.name));
    return record === undefined ? [] : { ...copy, record };
  });
  for (const { record, lines } of lost) {
    await records.store(record);
    logs.lose(record.name, lines);
    tellLost(logger, record, known.get(record.name));
  }
  for (const { record } of lost) known.set(record.name, record);
  const aside = new Map([...unreadable].filter(([job]) => !known.has(job)));
  for (const [job, reason] of aside)
    logger.warn({ job, reason }, "the record of a job cannot be used, and stays as it is");
  const all = [...known.values()];
  for (const record of all) {
    if (copies.isOf(record)) mirror.trust(record);
    else mirror.keep(record);
  }
  const logged = await logs.takeOver(
    withOpenLogs(all).map(({ name, state }) => ({ name, isActive: isActive(state) })),
  );
  const shown = { found: all, unreadable: aside, halfRemoved, logged };
  return { ...shown, ...keeping({ records, mirror, logs, logger }) };
}

/** With what was read of it. */
function openMirror(
  { store, term, signal, logger }: MemoryOptions,
  found: readonly Mirrored[],
): Mirror {
  const onTrouble = (problem: string | undefined): void => {
    if (problem === undefined) logger.info("records are copied to the store again");
    else logger.warn({ problem }, "records cannot be copied to the store");
  };
  const mirror = new Mirror({ store, codec: jobRecord, signal, onTrouble }, term);
  for (const copy of found) mirror.know(copy);
  return mirror;
}

function openLogs(
  { durable, term, signal, onConflict }: MemoryOptions,
  mirror: Mirror,
  copies: Copies,
): JobLogs {
  return new JobLogs(durable.logs, {
    ...{ signal, term, onDeposed: onConflict },
    // Nothing is written to the log of a new job before, and no log waits for a store that does not answer.
    used: async (job) => (copies.names(job).length === 0 ? 0 : mirror.linesOf(job).catch(() => 0)),
    onLine: (job, line) => mirror.noteLine(job, line),
  });
}

function keeping({
  records,
  mirror,
  logs,
  logger,
}: {
  readonly records: Records;
  readonly mirror: Mirror;
  readonly logs: JobLogs;
  readonly logger: Logger;
}): Omit<Memory, "found" | "unreadable" | "halfRemoved" | "logged"> {
  return {
    logs,
    store: async (record) => {
      await records.store(record);
      mirror.keep(record);
    },
    put: (record) => records.put(record),
    remove: async (job) => {
      await logs.remove(job);
      await mirror.remove(job);
      await records.remove(job);
    },
    writeAgain: (what, present) => {
      logger.warn("NATS has lost what it had stored; writing it again");
      if (what.jobs) records.writeAll();
      if (!what.logs) return;
      logs.startOver();
      logs.loseAll([...present].map(({ name }) => name));
    },
    flush: async (deadlineMs) => {
      await Promise.all([records.flush(deadlineMs), logs.flush(deadlineMs)]);
      await mirror.flush(deadlineMs);
    },
  };
}

function tellLost(logger: Logger, copy: JobRecord, found: JobRecord | undefined): void {
  const { name: job, state, step } = copy;
  if (found === undefined) logger.warn({ job, step }, "NATS has lost a job; it is in the store");
  else
    logger.warn(
      { job, state, step, stateInNats: found.state, stepInNats: found.step },
      "NATS holds an older state of a job, as after a backup was put back; the store's copy counts",
    );
}

/** Of more jobs than this that ended before, the lines have been written long ago. */
const endedMax = 50;

/** The jobs whose logs may lack lines of what the records tell: the start does not wait for all others to be read. */
export function withOpenLogs(records: readonly JobRecord[]): readonly JobRecord[] {
  const begun = records.filter(({ attempt }) => attempt > 0);
  const ended = begun
    .filter(({ state }) => hasEnded(state))
    .toSorted((a, b) => b.endedMs - a.endedMs);
  return [...begun.filter(({ state }) => !hasEnded(state)), ...ended.slice(0, endedMax)];
}
