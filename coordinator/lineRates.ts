/** How many log lines a worker may say: so many a second, and some more at once. The rest is counted, to be told. */

export const linesPerSecond = 20;
const linesAtOnce = 200;
/** Workers that have been silent for so long are forgotten. */
const forgetMs = 60_000;

interface Rate {
  left: number;
  atMs: number;
  dropped: number;
}

export class LineRates {
  readonly #rates = new Map<string, Rate>();

  /** Whether the worker may say a line now, and how many it was not allowed before, if that is still to be told. */
  take(
    workerId: string,
    nowMs = performance.now(),
  ): { readonly isAllowed: boolean; readonly dropped: number } {
    const rate = this.#rateOf(workerId, nowMs);
    rate.left = Math.min(linesAtOnce, rate.left + ((nowMs - rate.atMs) / 1000) * linesPerSecond);
    rate.atMs = nowMs;
    if (rate.left < 1) {
      rate.dropped += 1;
      return { isAllowed: false, dropped: 0 };
    }
    rate.left -= 1;
    // Not with every line that there is room for again.
    const isCalm = rate.left >= linesPerSecond / 2;
    const dropped = isCalm ? rate.dropped : 0;
    if (isCalm) rate.dropped = 0;
    return { isAllowed: true, dropped };
  }

  #rateOf(workerId: string, nowMs: number): Rate {
    const known = this.#rates.get(workerId);
    if (known !== undefined) return known;
    for (const [id, { atMs, dropped }] of this.#rates)
      if (dropped === 0 && nowMs - atMs > forgetMs) this.#rates.delete(id);
    const rate = { left: linesAtOnce, atMs: nowMs, dropped: 0 };
    this.#rates.set(workerId, rate);
    return rate;
  }
}
