import type { JobRecord } from "../../../src/control/record.js";
import type { ToyState } from "./toy.js";

/** What outlives every process: checkpoints, and records under a lock that one term holds. */
export class Shelf {
  readonly #checkpoints = new Map<string, Map<number, ToyState>>();
  readonly #records = new Map<string, JobRecord>();
  term = 0;

  get records(): readonly JobRecord[] {
    return [...this.#records.values()];
  }

  record(name: string): JobRecord | undefined {
    return this.#records.get(name);
  }

  /** False where another coordinator holds the lock by now: nothing is written. */
  keep(term: number, record: JobRecord): boolean {
    if (term < this.term) return false;
    this.#records.set(record.name, record);
    return true;
  }

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
