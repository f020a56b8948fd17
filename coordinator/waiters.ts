/** Lets any number of callers wait for the next word. Unlike Wakeup, a word that nobody waits for is not kept. */
export class Waiters {
  #waiting: (() => void)[] = [];

  /** Resolves at the next word, or when the deadline has passed, if there is one. */
  async wait(deadlineMs?: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = deadlineMs === undefined ? undefined : setTimeout(resolve, deadlineMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
