import { setTimeout as sleep } from "node:timers/promises";
import type { BitfleetClient, JobStatus, LogLine } from "../../src/client/client.js";
import { hasEnded } from "../../src/control/record.js";
import { commitsOf, type Commit } from "./ledger.js";

const retryMs = 200;

/** Reads a job's log and watches its status as a user's client does, over everything that happens to the coordinator. */
export class Follower {
  readonly lines: LogLine[] = [];
  readonly commits: Commit[] = [];
  /** What the watch told that no watcher may see. */
  readonly problems: string[] = [];
  /** The last status, once the log has been read to its end. */
  readonly ended: Promise<JobStatus>;
  readonly #client: BitfleetClient;
  readonly #name: string;
  readonly #signal: AbortSignal;
  #listener: (line: LogLine) => void = () => undefined;

  /** Rejects when the signal aborts. */
  constructor(client: BitfleetClient, name: string, signal: AbortSignal) {
    this.#client = client;
    this.#name = name;
    this.#signal = signal;
    this.ended = Promise.all([this.#watch(), this.#read()]).then(([status]) => status);
    // Whoever waits for it is told; nobody else need be.
    this.ended.catch(() => undefined);
  }

  onLine(listener: (line: LogLine) => void): void {
    this.#listener = listener;
  }

  /** Resolves once so many steps are committed, rejects if the job ends before. */
  async committed(count: number): Promise<void> {
    let ended = false;
    const end = (): void => void (ended = true);
    this.ended.then(end, end);
    while (this.commits.length < count) {
      this.#signal.throwIfAborted();
      if (isTrue(ended)) throw new Error(`${this.#name} ended after ${this.commits.length} steps`);
      await sleep(50);
    }
  }

  async #read(): Promise<void> {
    await this.#again(async () => {
      const afterSequence = this.lines.at(-1)?.sequence ?? 0;
      const options = { follow: true, afterSequence, signal: this.#signal };
      for await (const line of this.#client.logs(this.#name, options)) {
        this.lines.push(line);
        this.commits.push(...commitsOf([line]));
        this.#listener(line);
      }
    });
  }

  async #watch(): Promise<JobStatus> {
    let last: JobStatus | undefined;
    await this.#again(async () => {
      for await (const status of this.#client.watch(this.#name, { signal: this.#signal })) {
        if (last !== undefined) this.#compare(last, status);
        last = status;
      }
      if (last === undefined || !hasEnded(last.state)) throw new Error("the watch ended early");
    });
    if (last === undefined) throw new Error(`nothing was heard of ${this.#name}`);
    return last;
  }

  #compare(before: JobStatus, now: JobStatus): void {
    const back = now.step < before.step && now.attempt === before.attempt;
    if (back || now.attempt < before.attempt) {
      this.problems.push(
        `the watch went from step ${before.step} of attempt ${before.attempt} ` +
          `to step ${now.step} of attempt ${now.attempt}`,
      );
    }
  }

  /** What the client library does not bridge by itself (no NATS to read from) is asked for again. */
  async #again(work: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await work();
        this.#signal.throwIfAborted();
        return;
      } catch {
        this.#signal.throwIfAborted();
        await sleep(retryMs);
      }
    }
  }
}

/** A call, since the compiler does not see that a callback changes the flag. */
function isTrue(flag: boolean): boolean {
  return flag;
}
