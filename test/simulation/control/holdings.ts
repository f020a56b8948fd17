/** For so long two jobs may each hold workers and wait for more: somebody may be set aside for half a minute by one of them. */
const waitMaxMs = 45_000;

export interface Holding {
  readonly job: string;
  readonly workers: number;
  readonly minWorkers: number;
}

/** Looks whether jobs hold each other up: all or nothing, says the promise. */
export class Holdings {
  #sinceMs: number | undefined;

  /** `isLed`: there is a coordinator that could do something about it. What is wrong, if anything is. */
  check(holdings: readonly Holding[], nowMs: number, isLed: boolean): string | undefined {
    const short = holdings.filter(({ workers, minWorkers }) => workers > 0 && workers < minWorkers);
    if (short.length < 2 || !isLed) {
      this.#sinceMs = undefined;
      return undefined;
    }
    this.#sinceMs ??= nowMs;
    if (nowMs - this.#sinceMs < waitMaxMs) return undefined;
    const each = short.map(({ job, workers, minWorkers }) => `${job} ${workers} of ${minWorkers}`);
    return `jobs wait for each other's workers: ${each.join(", ")}`;
  }
}
