import { setTimeout as sleep } from "node:timers/promises";

/** Lets one waiter sleep until it is woken or a time has passed. A wake-up while nobody waits is kept for the next wait. */
export class Wakeup {
  #woken = false;
  #resume: (() => void) | undefined;

  wake(): void {
    this.#woken = true;
    this.#resume?.();
  }

  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#woken && !signal.aborted) {
      const resumed = new AbortController();
      this.#resume = () => resumed.abort();
      const either = AbortSignal.any([signal, resumed.signal]);
      await sleep(timeoutMs, undefined, { signal: either }).catch(() => undefined);
      this.#resume = undefined;
    }
    this.#woken = false;
  }
}
