/** A part that is started again when it ends by itself. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Ended } from "./processes.js";

/** What is kept up: a PartProcess, or a test's stand-in. */
export interface Startable {
  readonly ended: Promise<Ended>;
  stop(graceMs: number): Promise<Ended>;
}

export interface KeepOptions {
  readonly start: () => Startable;
  /** Told of every end that was not asked for; `waitMs` undefined: it is not started again. */
  readonly onEnd: (ended: Ended, waitMs: number | undefined) => void;
  /** Whether another start would end alike. */
  readonly isFinal: (ended: Ended) => boolean;
  readonly graceMs: number;
  readonly firstWaitMs?: number;
}

const longestWaitMs = 30_000;
/** One that has run for so long is trusted again. */
const steadyMs = 60_000;

export class KeptPart {
  readonly #options: KeepOptions;
  readonly #stop = new AbortController();
  #process: Startable | undefined;
  /** Resolves with the last end: once stopped, or once another start would be in vain. */
  readonly over: Promise<Ended>;

  constructor(options: KeepOptions) {
    this.#options = options;
    this.over = this.#keep();
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#process?.stop(this.#options.graceMs);
    await this.over;
  }

  async #keep(): Promise<Ended> {
    const { start, onEnd, isFinal, firstWaitMs = 500 } = this.#options;
    let waitMs = firstWaitMs;
    for (;;) {
      const startedMs = performance.now();
      this.#process = start();
      const ended = await this.#process.ended;
      if (this.#stop.signal.aborted) return ended;
      if (performance.now() - startedMs > steadyMs) waitMs = firstWaitMs;
      const final = isFinal(ended);
      onEnd(ended, final ? undefined : waitMs);
      if (final) return ended;
      await sleep(waitMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
      if (isAborted(this.#stop.signal)) return ended;
      waitMs = Math.min(waitMs * 2, longestWaitMs);
    }
  }
}

/** A call, since the compiler takes the flag for one that never changes. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
