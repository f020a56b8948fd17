import { hasEnded, type JobRecord } from "./record.js";

/**
 * The records of all jobs, by name. Those of jobs that have ended, of which all is kept and told, are closed: no event looks at
 * them unless it is about that very job. So what happens every moment costs the same however many jobs there have been.
 */
export class JobRecords {
  /** Jobs that have not ended, or whose end is still to be kept and told. */
  readonly open: ReadonlyMap<string, JobRecord>;
  readonly #closed: ReadonlyMap<string, JobRecord>;

  constructor(open: ReadonlyMap<string, JobRecord>, closed: ReadonlyMap<string, JobRecord>) {
    this.open = open;
    this.#closed = closed;
  }

  get size(): number {
    return this.open.size + this.#closed.size;
  }

  get(job: string): JobRecord | undefined {
    return this.open.get(job) ?? this.#closed.get(job);
  }

  has(job: string): boolean {
    return this.open.has(job) || this.#closed.has(job);
  }

  isClosed(job: string): boolean {
    return this.#closed.has(job);
  }

  *values(): IterableIterator<JobRecord> {
    yield* this.open.values();
    yield* this.#closed.values();
  }

  *keys(): IterableIterator<string> {
    yield* this.open.keys();
    yield* this.#closed.keys();
  }

  /** With this record, open, in place of the one of its job. */
  with(record: JobRecord): JobRecords {
    const open = new Map(this.open).set(record.name, record);
    return new JobRecords(open, this.#without(record.name));
  }

  without(job: string): JobRecords {
    const open = new Map(this.open);
    open.delete(job);
    return new JobRecords(open, this.#without(job));
  }

  /** With the records of these jobs, which have ended, closed. */
  close(jobs: readonly string[]): JobRecords {
    const open = new Map(this.open);
    const closed = new Map(this.#closed);
    for (const job of jobs) {
      const record = open.get(job);
      if (record === undefined || !hasEnded(record.state)) continue;
      open.delete(job);
      closed.set(job, record);
    }
    return new JobRecords(open, closed);
  }

  /** Copied only where it changes: it is the large one. */
  #without(job: string): ReadonlyMap<string, JobRecord> {
    if (!this.#closed.has(job)) return this.#closed;
    const rest = new Map(this.#closed);
    rest.delete(job);
    return rest;
  }
}
