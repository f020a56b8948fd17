/**
 * The durable records of jobs. Writes go out one at a time, in the order in which their jobs first changed, and only the newest
 * value of a job: while NATS is away they wait and nothing blocks. Nobody but the holder of the lock writes here, so a record that
 * somebody else wrote means that another coordinator has taken over. One that is not there at all means no such thing: NATS has
 * lost its storage, and whoever holds the lock writes the record anew. One that cannot be read, or not be written, is the
 * trouble of its job alone.
 */
import type { JobRecord } from "../src/control/record.js";
import { mapBounded } from "../src/data/bounded.js";
import { reasonOf, WireError } from "../src/job/problem.js";
import type { Entry, RecordBucket } from "../src/link/jetstream.js";
import type { Codec } from "../src/wire/codec.js";
import { machineClock, type Clock } from "./clock.js";
import { Waiters } from "./waiters.js";

export interface RecordsOptions {
  readonly bucket: RecordBucket;
  readonly codec: Codec<JobRecord>;
  readonly clock?: Clock;
  readonly signal: AbortSignal;
  /** Whether we hold the lock now, however long it takes to know. */
  readonly isHolder: () => Promise<boolean>;
  /** A record is none that could be read again: another of its job is to be kept instead. */
  readonly onUnwritable: (job: string, problem: string) => void;
  /** Called once: act no more. */
  readonly onConflict: (reason: string) => void;
}

const retryMs = 250;
const readsAtOnce = 64;

interface Pending {
  readonly record: JobRecord;
  readonly settle: readonly (() => void)[];
}

export class Records {
  readonly #options: RecordsOptions;
  readonly #revisions: Map<string, number>;
  /** The newest of every job, to be written again where NATS has lost it. */
  readonly #newest = new Map<string, JobRecord>();
  readonly #pending = new Map<string, Pending>();
  /** By job whose last record was unwritable: who waits for the next. */
  readonly #unwritable = new Map<string, readonly (() => void)[]>();
  readonly #idle = new Waiters();
  #writing = false;
  /** NATS has lost them, and nothing was written since. */
  #emptied = false;

  /** Reads every record; those that cannot be used stay as they are. */
  static async open(options: RecordsOptions): Promise<{
    readonly records: Records;
    readonly found: readonly JobRecord[];
    /** By job: why its record cannot be used. */
    readonly unreadable: ReadonlyMap<string, string>;
  }> {
    const found: JobRecord[] = [];
    const unreadable = new Map<string, string>();
    const revisions = new Map<string, number>();
    await mapBounded(await options.bucket.keys(), readsAtOnce, async (key) => {
      const entry = await options.bucket.read(key);
      if (entry === undefined) return;
      revisions.set(key, entry.revision);
      const record = readRecord(options.codec, key, entry.value);
      if (typeof record === "string") unreadable.set(key, record);
      else found.push(record);
    });
    return { records: new Records(options, revisions, found), found, unreadable };
  }

  private constructor(
    options: RecordsOptions,
    revisions: Map<string, number>,
    found: readonly JobRecord[],
  ) {
    this.#options = options;
    this.#revisions = revisions;
    for (const record of found) this.#newest.set(record.name, record);
  }

  /** Begins to write the record, instead of an older one of the same job that still waits. */
  put(record: JobRecord): void {
    this.#enqueue(record, []);
  }

  /**
   * As `put`; resolves once this record, or a newer one of its job, is durable, and was so while we held the lock: a successor may
   * have read the one before it, and would know nothing of what follows from this one. Without the lock it never resolves.
   */
  async store(record: JobRecord): Promise<void> {
    await new Promise<void>((resolve) => this.#enqueue(record, [resolve]));
  }

  /** Leaves nothing of the job's record; nothing of it may be waiting to be written. */
  async remove(job: string): Promise<void> {
    this.#newest.delete(job);
    this.#pending.delete(job);
    this.#unwritable.delete(job);
    await this.#options.bucket.remove(job, this.#options.signal);
    this.#revisions.delete(job);
  }

  /** NATS has lost them: all are written again, if we hold the lock. */
  writeAll(): void {
    this.#revisions.clear();
    this.#emptied = true;
    for (const record of this.#newest.values()) this.#enqueue(record, []);
  }

  /** Resolves when nothing waits to be written, or the deadline has passed. */
  async flush(deadlineMs: number): Promise<void> {
    if (!this.#writing) return;
    await this.#idle.wait(deadlineMs);
  }

  #enqueue(record: JobRecord, settle: readonly (() => void)[]): void {
    const earlier = this.#pending.get(record.name)?.settle ?? [];
    this.#newest.set(record.name, record);
    this.#pending.set(record.name, { record, settle: [...earlier, ...settle] });
    if (this.#writing) return;
    this.#writing = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    for (let next = first(this.#pending); next; next = first(this.#pending)) {
      const [name, { record, settle }] = next;
      this.#pending.delete(name);
      try {
        if (!(await this.#write(name, record))) return;
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        this.#putOff(name, error.message, settle);
        continue;
      }
      const all = [...(this.#unwritable.get(name) ?? []), ...settle];
      this.#unwritable.delete(name);
      if (all.length > 0) void this.#settle(all);
    }
    this.#writing = false;
    this.#idle.wake();
  }

  /** Those who wait for a record that is none, or that NATS takes from nobody, wait for the job's next one. */
  #putOff(name: string, problem: string, settle: readonly (() => void)[]): void {
    const before = this.#unwritable.get(name);
    const waiting = [...(before ?? []), ...settle];
    this.#unwritable.set(name, waiting);
    if (before === undefined) this.#options.onUnwritable(name, problem);
    // Nor could the one that was to be kept instead. The job has failed, and others must not wait for it.
    else void this.#settle(waiting);
  }

  /** What is written meanwhile does not wait for the answer. */
  async #settle(settle: readonly (() => void)[]): Promise<void> {
    if (!(await this.#options.isHolder())) return;
    for (const done of settle) done();
  }

  /** False once another coordinator has taken over. WireError: the record can be kept nowhere. */
  async #write(name: string, record: JobRecord): Promise<boolean> {
    const { bucket, codec, signal, isHolder, onConflict } = this.#options;
    let problem = `the record of job ${name} is gone, and another coordinator has taken over`;
    try {
      const value = codec.encode(record);
      for (;;) {
        // Nothing is put where NATS has lost what was there, before the lock is known to be ours.
        if (this.#emptied && !(await this.#claim())) break;
        const revision = this.#revisions.get(name) ?? 0;
        const written = await bucket.write(name, value, revision, signal);
        if (written !== undefined) {
          this.#revisions.set(name, written);
          return true;
        }
        const there = await this.#read(name);
        if (there !== undefined)
          problem = `the record of job ${name} was written by another coordinator`;
        // The late word of a coordinator that was replaced and does not know it yet is replaced in turn, and what is missing is
        // written anew. Either is for the holder of the lock alone: that coordinator may be this one.
        if (there?.isOurs !== true && !(await isHolder())) break;
        this.#revisions.set(name, there?.revision ?? 0);
      }
    } catch (error) {
      if (signal.aborted) return false;
      if (error instanceof WireError) throw error;
      problem = `the record of job ${name} cannot be written: ${String(error)}`;
    }
    onConflict(problem);
    return false;
  }

  #claim(): Promise<boolean> {
    this.#emptied = false;
    return this.#options.isHolder();
  }

  async #read(name: string): Promise<Entry | undefined> {
    for (;;) {
      try {
        return await this.#options.bucket.read(name);
      } catch {
        await (this.#options.clock ?? machineClock).sleep(retryMs, this.#options.signal);
      }
    }
  }
}

/** The record, or why there is none. */
function readRecord(codec: Codec<JobRecord>, key: string, value: Uint8Array): JobRecord | string {
  try {
    const record = codec.decode(value);
    return record.name === key ? record : `it is one of ${record.name}`;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return reasonOf(error);
  }
}

function first<K, V>(map: ReadonlyMap<K, V>): readonly [K, V] | undefined {
  for (const entry of map) return entry;
  return undefined;
}
