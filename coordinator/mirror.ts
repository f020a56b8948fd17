/**
 * A second copy of every job's record, in the store: enough to go on when NATS has lost its storage while no coordinator lived
 * that knew it. It is written behind the first copy and after it, so it may be a little older; what the workers hold says the
 * rest. Nothing waits for it: while the store takes nothing, the newest of each job waits to be tried again.
 */
import { setTimeout as sleep } from "node:timers/promises";

import type { JobRecord } from "../src/control/record.js";
import { reasonOf, WireError } from "../src/job/problem.js";
import type { Store } from "../src/store/store.js";
import type { Codec } from "../src/wire/codec.js";
import { Copies, encodeMirrored, fileOf, type Mirrored } from "./mirrorFiles.js";
import { Waiters } from "./waiters.js";

export interface MirrorOptions {
  readonly store: Store;
  readonly codec: Codec<JobRecord>;
  readonly signal: AbortSignal;
  /** Told why nothing can be written, once, and `undefined` when it can again. */
  readonly onTrouble: (problem: string | undefined) => void;
}

const retryMs = 5000;
/** Numbers of log lines are set aside by the thousand, so that not every line is noted here; at least half of them ahead. */
const linesAside = 1000;

export class Mirror {
  readonly #options: MirrorOptions;
  readonly #term: () => number;
  readonly #newest = new Map<string, JobRecord>();
  /** By job: the last number of its log, and up to where numbers are set aside in the store. */
  readonly #lines = new Map<string, { readonly last: number; readonly aside: number }>();
  readonly #waiting = new Set<string>();
  readonly #idle = new Waiters();
  #writing = false;
  #problem = "";

  constructor(options: MirrorOptions, term: () => number) {
    this.#options = options;
    this.#term = term;
  }

  /** What was read of the store. */
  know({ record, lines }: Mirrored): void {
    this.#newest.set(record.name, record);
    this.#lines.set(record.name, { last: 0, aside: lines });
  }

  /** That record is known to be there. */
  trust(record: JobRecord): void {
    this.#newest.set(record.name, record);
  }

  /** Begins to write the record, if it is not the one that is there. */
  keep(record: JobRecord): void {
    const before = this.#newest.get(record.name);
    const [bytes, bytesBefore] = [this.#encoded(record), before && this.#encoded(before)];
    // One that cannot be kept is told of where it is kept first.
    if (bytes === undefined) return;
    this.#newest.set(record.name, record);
    if (bytesBefore === undefined || !Buffer.from(bytesBefore).equals(bytes))
      this.#enqueue(record.name);
  }

  #encoded(record: JobRecord): Uint8Array | undefined {
    try {
      return this.#options.codec.encode(record);
    } catch (error) {
      if (error instanceof WireError) return undefined;
      throw error;
    }
  }

  async remove(job: string): Promise<void> {
    this.#newest.delete(job);
    this.#waiting.delete(job);
    this.#lines.delete(job);
    for (const name of (await this.#there(job)).names) await this.#options.store.delete(name);
  }

  /** A line of the job's log has this number. */
  noteLine(job: string, sequence: number): void {
    const { aside } = this.#lines.get(job) ?? { aside: 0 };
    this.#lines.set(job, { last: sequence, aside });
    if (sequence > aside - linesAside / 2 && this.#newest.has(job)) this.#enqueue(job);
  }

  /** Numbers of the job's log lines up to here may be in use. Rejects where the store does not answer. */
  async linesOf(job: string): Promise<number> {
    const known = this.#lines.get(job)?.aside ?? 0;
    if (known > 0) return known;
    return (await this.#there(job)).lines;
  }

  /** Resolves when nothing waits to be written, or the deadline has passed. */
  async flush(deadlineMs: number): Promise<void> {
    if (!this.#writing) return;
    await this.#idle.wait(deadlineMs);
  }

  #enqueue(job: string): void {
    this.#waiting.add(job);
    if (this.#writing) return;
    this.#writing = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    const { signal } = this.#options;
    for (let job = first(this.#waiting); job !== undefined; job = first(this.#waiting)) {
      this.#waiting.delete(job);
      if (await this.#write(job)) continue;
      this.#waiting.add(job);
      await sleep(retryMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
    }
    this.#writing = false;
    this.#idle.wake();
  }

  async #write(job: string): Promise<boolean> {
    const { store, codec } = this.#options;
    const record = this.#newest.get(job);
    if (record === undefined) return true;
    const term = this.#term();
    let aside: number;
    try {
      const there = await this.#there(job);
      // A coordinator that was replaced and does not know it yet leaves its successor's alone.
      if (there.term > term) return true;
      const { last, aside: known } = this.#lines.get(job) ?? { last: 0, aside: 0 };
      const needed = Math.ceil((last + linesAside / 2) / linesAside) * linesAside;
      aside = Math.max(needed, known, there.lines);
      await store.put(fileOf(record), [encodeMirrored({ record, term, lines: aside }, codec)]);
      // The job was removed meanwhile.
      if (!this.#newest.has(job)) await store.delete(fileOf(record));
      for (const old of there.names) if (old !== fileOf(record)) await store.delete(old);
    } catch (error) {
      this.#tell(reasonOf(error));
      return false;
    }
    this.#tell("");
    this.#lines.set(job, { last: this.#lines.get(job)?.last ?? 0, aside });
    return true;
  }

  async #there(job: string): Promise<{
    readonly names: readonly string[];
    readonly term: number;
    readonly lines: number;
  }> {
    const copies = await Copies.list(this.#options.store, this.#options.codec, job);
    const [found] = (await copies.read([job])).found;
    return { names: copies.names(job), term: found?.term ?? 0, lines: found?.lines ?? 0 };
  }

  #tell(problem: string): void {
    // One trouble, one line: with another job it reads differently and is the same.
    if ((problem === "") === (this.#problem === "")) return;
    this.#problem = problem;
    this.#options.onTrouble(problem === "" ? undefined : problem);
  }
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  for (const entry of set) return entry;
  return undefined;
}
