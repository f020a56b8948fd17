import type { LogEvent } from "./logLine.js";

/**
 * Log lines that wait to be written. Each job has its turn, one line at a time, and where there is no room for more the job with
 * the most lines gives way: who says very much takes nobody else's place.
 */
export class LineQueue {
  readonly #max: number;
  /** In the order of their turns. */
  readonly #lines = new Map<string, LogEvent[]>();
  #count = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#count;
  }

  has(job: string): boolean {
    return this.#lines.has(job);
  }

  /** The job that has lost a line by it, which may be this one; undefined for none. */
  add(job: string, event: LogEvent): string | undefined {
    const own = this.#lines.get(job) ?? [];
    const loser = this.#count < this.#max ? undefined : this.#makeRoom(job, own.length);
    if (loser === job) return loser;
    own.push(event);
    this.#lines.set(job, own);
    this.#count += 1;
    return loser;
  }

  /** The line whose turn it is. It stays until `done`. */
  next(): { readonly job: string; readonly event: LogEvent } | undefined {
    for (const [job, [event]] of this.#lines) if (event !== undefined) return { job, event };
    return undefined;
  }

  /** The line of `next` is written: its job has its next turn after the others. */
  done(): void {
    const job = this.next()?.job;
    if (job === undefined) return;
    const lines = this.#lines.get(job) ?? [];
    lines.shift();
    this.#lines.delete(job);
    if (lines.length > 0) this.#lines.set(job, lines);
    this.#count -= 1;
  }

  clear(): void {
    this.#lines.clear();
    this.#count = 0;
  }

  /** Drops the newest line of the job with the most, but for who has as many itself. */
  #makeRoom(job: string, own: number): string {
    let [loser, most] = [job, own + 1];
    for (const [other, { length }] of this.#lines)
      if (length > most) [loser, most] = [other, length];
    if (loser === job) return job;
    this.#lines.get(loser)?.pop();
    this.#count -= 1;
    return loser;
  }
}
