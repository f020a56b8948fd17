import type { ToyState } from "./toy.js";

/** The store: checkpoints, which outlive every process. */
export class Shelf {
  readonly #checkpoints = new Map<string, Map<number, ToyState>>();

  put(job: string, step: number, state: ToyState): void {
    const steps = this.#checkpoints.get(job) ?? new Map<number, ToyState>();
    this.#checkpoints.set(job, steps.set(step, state));
  }

  get(job: string, step: number): ToyState | undefined {
    return this.#checkpoints.get(job)?.get(step);
  }

  /** Of the checkpoints up to that step only the newest `keep` stay. */
  discard(job: string, step: number, keep: number): void {
    const steps = this.#checkpoints.get(job) ?? new Map<number, ToyState>();
    const old = [...steps.keys()].filter((one) => one <= step).toSorted((a, b) => b - a);
    for (const one of old.slice(keep)) steps.delete(one);
  }
}
