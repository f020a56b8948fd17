/**
 * The durable log of every job: lines numbered 1, 2, 3 … within the job, by the coordinator that writes them. A line gets its
 * number when it is written, so what is dropped because NATS was away for long leaves no gap, only a line that says so. Where NATS
 * has lost the lines themselves their numbers are not used again, and one line tells which they were.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { plural } from "../src/job/plural.js";

import type { LoggedLines } from "../src/control/fleetState.js";
import { loggedIn } from "../src/control/history.js";
import { FailureError, WireError } from "../src/job/problem.js";
import type { LineBatch, LineStream, StoredLine, Written } from "../src/link/jetstream.js";
import type { LogLine } from "../src/wire/training.js";
import { decodeLine, encodeLine, termOf, type LogEvent } from "./logLine.js";
import { LineQueue } from "./lineQueue.js";
import { Waiters } from "./waiters.js";
import { Wakeup } from "./wakeup.js";

export interface ReadOptions {
  readonly afterSequence: number;
  /** Asked when all that is there has been read: whether to wait for more. */
  readonly follow: () => boolean;
  readonly signal: AbortSignal;
}

/** Lines that may wait for NATS, over all jobs. */
const queueMax = 20_000;
const batchLines = 500;
/** A follower that missed its wake-up looks again after this time. */
const followMs = 1000;
const readDeadlineMs = 10_000;

interface Tail {
  readonly position: number;
  readonly sequence: number;
  /** Of the coordinator that wrote the line. */
  readonly term: number;
}

/** As many lines of all jobs are looked through at first for what a job's log shows. */
const searchSpan = 500;

export interface JobLogsOptions {
  readonly signal: AbortSignal;
  /** Of the coordinator that writes, now. */
  readonly term: () => number;
  /** The numbers of the job's lines up to here may be in use, also where the stream has none of them any more. */
  readonly used?: (job: string) => Promise<number>;
  /** Called once when a coordinator of a higher term is found to write: act no more. */
  readonly onDeposed: (reason: string) => void;
  /** Hears of every line that was written. */
  readonly onLine?: (job: string, sequence: number) => void;
}

export class JobLogs {
  readonly #stream: LineStream;
  readonly #options: JobLogsOptions;
  readonly #queue = new LineQueue(queueMax);
  readonly #tails = new Map<string, Tail>();
  readonly #dropped = new Map<string, number>();
  readonly #followers = new Map<string, Set<Wakeup>>();
  /** By job: the numbers up to here went with lines that NATS has lost. */
  readonly #lost = new Map<string, number>();
  readonly #removed = new Set<string>();
  /** How often the stream was found empty: positions of before mean nothing. */
  #emptied = 0;
  readonly #idle = new Waiters();
  #writing = false;
  #deposed = false;

  constructor(stream: LineStream, options: JobLogsOptions) {
    this.#stream = stream;
    this.#options = options;
  }

  /**
   * Takes the logs over from the coordinator before. What that one still writes is refused from then
   * on, so what the logs show of the jobs' steps is all that they will ever show of its words.
   */
  async takeOver(
    jobs: readonly { readonly name: string; readonly isActive: boolean }[],
  ): Promise<ReadonlyMap<string, LoggedLines>> {
    const term = this.#options.term();
    for (const { name } of jobs.filter(({ isActive }) => isActive)) {
      const message = "a coordinator has started, and goes on with the job";
      this.append(name, { timeMs: Date.now(), level: "info", message, fields: { term } });
    }
    if (this.#writing) await this.#idle.wait();
    const found = new Map<string, LoggedLines>();
    for (const { name } of jobs) {
      const shown = await this.#shown(name);
      if (shown !== undefined) found.set(name, shown);
    }
    return found;
  }

  /** Queues the line and returns at once. */
  append(job: string, event: LogEvent): void {
    if (this.#deposed || this.#removed.has(job)) return;
    const loser = this.#queue.add(job, event);
    if (loser !== undefined) this.#dropped.set(loser, (this.#dropped.get(loser) ?? 0) + 1);
    if (this.#writing) return;
    this.#writing = true;
    void this.#drain();
  }

  /** NATS has lost all lines. */
  loseAll(jobs: readonly string[]): void {
    const { used, signal } = this.#options;
    const confess = async (): Promise<void> => {
      for (const job of jobs) {
        if (signal.aborted) return;
        // Of a log that nobody has written to since the start the store knows the numbers.
        const known = this.#tails.get(job)?.sequence;
        this.lose(job, known ?? (await used?.(job)) ?? 0);
      }
    };
    void confess();
  }

  /** NATS has lost the job's lines. Their numbers go up to `upTo` at most where nothing was written since the start. */
  lose(job: string, upTo: number): void {
    const last = this.#tails.get(job)?.sequence ?? upTo;
    if (last === 0) return;
    this.#lost.set(job, last);
    const message = `lines up to ${last} of this log were lost with the storage of NATS`;
    this.append(job, { timeMs: Date.now(), level: "warn", message, fields: {} });
  }

  /** Leaves no line of the job. */
  async remove(job: string): Promise<void> {
    this.#removed.add(job);
    this.#dropped.delete(job);
    this.#lost.delete(job);
    await this.#stream.remove(job, this.#options.signal);
    this.#tails.delete(job);
  }

  /** The stream is a new one: followers start over in it, behind the last line that they have seen. */
  startOver(): void {
    this.#emptied += 1;
  }

  /** Whether every line of the job that was appended is in the stream. */
  isWritten(job: string): boolean {
    return !this.#dropped.has(job) && !this.#queue.has(job);
  }

  /** Resolves when nothing waits to be written, or the deadline has passed. */
  async flush(deadlineMs: number): Promise<void> {
    if (!this.#writing) return;
    await this.#idle.wait(deadlineMs);
  }

  /** The lines in order of their numbers. FailureError: NATS has not answered for 10 s, and nobody wants to wait. */
  async *read(job: string, options: ReadOptions): AsyncGenerator<LogLine> {
    const wakeup = new Wakeup();
    const followers = this.#followers.get(job) ?? new Set<Wakeup>();
    this.#followers.set(job, followers.add(wakeup));
    try {
      let sequence = options.afterSequence;
      let position = 1;
      let emptied = this.#emptied;
      while (!options.signal.aborted) {
        if (emptied !== this.#emptied) position = 1;
        emptied = this.#emptied;
        // Asked before the read: a line written behind it is then not missed.
        const mayEnd = !options.follow() && this.isWritten(job);
        const { lines, end } = await this.#batch(job, position, options);
        for (const stored of lines) {
          position = stored.position + 1;
          const line = decodeLine(stored.data);
          if (line === undefined || line.sequence <= sequence) continue;
          sequence = line.sequence;
          yield line;
        }
        if (end && mayEnd) return;
        if (end) await wakeup.wait(followMs, options.signal);
      }
    } finally {
      followers.delete(wakeup);
      if (followers.size === 0) this.#followers.delete(job);
    }
  }

  async #batch(job: string, position: number, { signal, follow }: ReadOptions): Promise<LineBatch> {
    const endsAtMs = performance.now() + readDeadlineMs;
    for (;;) {
      try {
        const batch = await this.#stream.read(job, position, batchLines);
        if (batch.end || batch.lines.length > 0 || signal.aborted) return batch;
      } catch (error) {
        if (signal.aborted) return { lines: [], end: true };
        if (performance.now() > endsAtMs && !follow())
          throw new FailureError("the logs cannot be read: NATS does not answer", { cause: error });
      }
      await sleep(followMs / 4);
    }
  }

  async #drain(): Promise<void> {
    try {
      for (let next = this.#queue.next(); next; next = this.#queue.next()) {
        const isRemoved = this.#removed.has(next.job);
        if (!isRemoved && !(await this.#write(next.job, next.event))) return;
        this.#queue.done();
        if (this.#queue.size === 0) this.#confessDropped();
        for (const follower of this.#followers.get(next.job) ?? []) follower.wake();
      }
    } catch (error) {
      if (!this.#options.signal.aborted) throw error;
    } finally {
      this.#writing = false;
      this.#idle.wake();
    }
  }

  #confessDropped(): void {
    for (const [job, count] of this.#dropped) {
      const message = `dropped ${plural(count, "line")} while NATS was away`;
      const event = { timeMs: Date.now(), level: "warn", message, fields: {} } as const;
      this.#queue.add(job, event);
    }
    this.#dropped.clear();
  }

  /** False where another coordinator has taken the log over. */
  async #write(job: string, event: LogEvent): Promise<boolean> {
    const { onLine } = this.#options;
    for (;;) {
      const term = this.#options.term();
      const tail = this.#tails.get(job) ?? (await this.#tail(job));
      if (tail.term > term) return this.#endDeposed(job, tail.term);
      const line = encodeLine(tail.sequence + 1, term, event);
      const position = await this.#append(job, line, tail.position);
      // A log with a hole is better than none.
      if (position === "refused") return true;
      if (position !== undefined) {
        this.#tails.set(job, { position, sequence: tail.sequence + 1, term });
        onLine?.(job, tail.sequence + 1);
        return true;
      }
      // A coordinator before us wrote the last line, or the stream's bounds have taken it.
      const last = await this.#tail(job);
      this.#tails.set(job, { ...last, sequence: Math.max(last.sequence, tail.sequence) });
    }
  }

  /** "refused": NATS would never take such a line, as where somebody has bounded the stream. */
  async #append(job: string, line: Uint8Array, after: number): Promise<Written | "refused"> {
    try {
      return await this.#stream.append(job, line, after, this.#options.signal);
    } catch (error) {
      if (error instanceof WireError) return "refused";
      throw error;
    }
  }

  #endDeposed(job: string, term: number): false {
    this.#deposed = true;
    this.#queue.clear();
    this.#options.onDeposed(`a coordinator of term ${term} writes the log of ${job}`);
    return false;
  }

  /** What the newest lines tell of the job's steps: looks further and further back. */
  async #shown(job: string): Promise<LoggedLines | undefined> {
    let end = (await this.#last(job))?.position ?? 0;
    for (let span = searchSpan; end > 0; span *= 4) {
      const first = Math.max(1, end - span + 1);
      const shown = loggedIn(await this.#between(job, first, end));
      if (shown !== undefined) return shown;
      end = first - 1;
    }
    return undefined;
  }

  async #between(job: string, first: number, end: number): Promise<readonly LogLine[]> {
    const { signal } = this.#options;
    const found: LogLine[] = [];
    for (let from = first; from <= end;) {
      const batch = await this.#batch(job, from, { afterSequence: 0, follow: () => true, signal });
      const within = batch.lines.filter(({ position }) => position <= end);
      found.push(...within.flatMap(({ data }) => decodeLine(data) ?? []));
      const last = batch.lines.at(-1);
      if (batch.end || last === undefined) break;
      from = last.position + 1;
    }
    return found;
  }

  async #tail(job: string): Promise<Tail> {
    const last = await this.#last(job);
    const lost = this.#lost.get(job);
    if (last === undefined) {
      const sequence = lost ?? (await this.#options.used?.(job)) ?? 0;
      return { position: 0, sequence, term: 0 };
    }
    const { position, data } = last;
    // What was lost may be the end only, where the stream was put back to an older state.
    const sequence = Math.max(decodeLine(data)?.sequence ?? 0, lost ?? 0);
    return { position, sequence, term: termOf(data) };
  }

  async #last(job: string): Promise<StoredLine | undefined> {
    for (;;) {
      try {
        return await this.#stream.last(job);
      } catch {
        await sleep(followMs / 4, undefined, { signal: this.#options.signal });
      }
    }
  }
}
