/**
 * What watchers of jobs are shown. A job's status is made once for all who watch it, when it may have changed, and not more often
 * than a person can follow: an event of the fleet costs nothing per watcher, and a watcher nothing while there is nothing new.
 */
import { setImmediate as nextTurn } from "node:timers/promises";

import { hasEnded } from "../src/control/record.js";
import type { JobStatus } from "../src/wire/training.js";
import { Wakeup } from "./wakeup.js";

export interface StatusBoardOptions {
  /** Of the job as it is now; undefined where there is none of that name any more. */
  readonly look: (job: string) => JobStatus | undefined;
  /** Changes whenever the job does: its record, by identity. */
  readonly version: (job: string) => unknown;
  /** Wakes it after everything that happens, until it is removed. */
  readonly watch: (wakeup: Wakeup) => () => void;
  readonly signal: AbortSignal;
}

/** Between two looks at a job. */
const lookEveryMs = 250;
/** A job is looked at this often even so: speed and time left change without an event. */
const idleMs = 1000;
const foreverMs = 2 ** 30;

interface Shown {
  status: JobStatus;
  /** Tells whether it is the same, without the lists that come as they are in the record. */
  text: string;
  version: unknown;
  readonly watchers: Set<Wakeup>;
}

export class StatusBoard {
  readonly #options: StatusBoardOptions;
  readonly #shown = new Map<string, Shown>();
  #looking = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: StatusBoardOptions) {
    this.#options = options;
  }

  /** The status now and at every change, the classes in the first one alone; ends after that of the ended job. */
  async *watch(job: string, signal: AbortSignal): AsyncGenerator<JobStatus> {
    const wakeup = new Wakeup();
    const leave = this.#join(job, wakeup);
    try {
      // One after the other: a status with the names of very many classes takes milliseconds to send.
      await this.#myTurn();
      let seen: JobStatus | undefined;
      while (!signal.aborted) {
        const status = this.#shown.get(job)?.status;
        if (status === undefined) return;
        if (status !== seen) yield seen === undefined ? status : { ...status, classes: [] };
        seen = status;
        if (hasEnded(status.state)) return;
        await wakeup.wait(foreverMs, signal);
      }
    } finally {
      leave();
    }
  }

  #join(job: string, wakeup: Wakeup): () => void {
    const before = this.#shown.get(job);
    // What somebody else was shown a moment ago will do, unless the job was told to do something since.
    const isOld = before !== undefined && before.version !== this.#options.version(job);
    const shown = before !== undefined && !isOld ? before : this.#look(job, before);
    if (shown === undefined) return () => undefined;
    shown.watchers.add(wakeup);
    if (!this.#looking) void this.#keepLooking();
    return () => {
      shown.watchers.delete(wakeup);
      if (shown.watchers.size === 0 && this.#shown.get(job) === shown) this.#shown.delete(job);
    };
  }

  async #keepLooking(): Promise<void> {
    this.#looking = true;
    const { watch, signal } = this.#options;
    const wakeup = new Wakeup();
    const unwatch = watch(wakeup);
    while (this.#shown.size > 0 && !signal.aborted) {
      await new Wakeup().wait(lookEveryMs, signal);
      await wakeup.wait(idleMs - lookEveryMs, signal);
      for (const [job, shown] of this.#shown) this.#look(job, shown);
    }
    unwatch();
    this.#looking = false;
  }

  #look(job: string, before: Shown | undefined): Shown | undefined {
    const status = this.#options.look(job);
    if (status === undefined) {
      this.#shown.delete(job);
      for (const watcher of before?.watchers ?? []) watcher.wake();
      return undefined;
    }
    const text = JSON.stringify({ ...status, classes: [], evaluations: [] });
    const version = this.#options.version(job);
    if (before === undefined) {
      const shown = { status, text, version, watchers: new Set<Wakeup>() };
      this.#shown.set(job, shown);
      return shown;
    }
    const isSame = before.text === text && before.status.evaluations === status.evaluations;
    before.version = version;
    if (isSame) return before;
    Object.assign(before, { status, text });
    for (const watcher of before.watchers) watcher.wake();
    return before;
  }

  async #myTurn(): Promise<void> {
    this.#turn = this.#turn.then(() => nextTurn());
    await this.#turn;
  }
}
