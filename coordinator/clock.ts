import { setTimeout as sleep } from "node:timers/promises";

/** Time as the lock and the records of a coordinator have it; simulated ones have their own. */
export interface Clock {
  /** Monotonic. */
  nowMs(): number;
  /** Rejects as soon as the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const machineClock: Clock = {
  nowMs: () => performance.now(),
  sleep: (ms, signal) => sleep(ms, undefined, { signal }),
};
