import type { FleetCommand } from "../../../src/control/fleetEvent.js";
import type { Fleet } from "../../../src/control/fleetState.js";

/** Processes that hold a job's state of that step, or seem to: it cannot be seen that they cannot go on from it. */
export type Survivors = (
  job: string,
  attempt: number,
  step: number,
  seeming: boolean,
) => readonly string[];

/**
 * Workers that were rightly let go of a job, since another held its state. Where the record that this follows from is not durable
 * yet they hear of it late, and hold the state until then.
 */
export class LetGo {
  readonly #survivors: Survivors;
  readonly #jobs = new Map<string, string>();

  constructor(survivors: Survivors) {
    this.#survivors = survivors;
  }

  book({ records }: Fleet, said: FleetCommand): void {
    if (said.kind !== "send") return;
    const { workerId, command } = said;
    if (command.kind === "prepare") this.#jobs.delete(workerId);
    if (command.kind !== "release") return;
    const { attempt = 0, step = 0 } = records.get(command.job) ?? {};
    const others = this.others(command.job, attempt, step, true);
    if (others.some((incarnation) => workerOf(incarnation) !== workerId))
      this.#jobs.set(workerId, command.job);
  }

  /** Those who hold the state and were not let go. */
  others(job: string, attempt: number, step: number, seeming = false): readonly string[] {
    const survivors = this.#survivors(job, attempt, step, seeming);
    return survivors.filter((incarnation) => this.#jobs.get(workerOf(incarnation)) !== job);
  }
}

function workerOf(incarnation: string): string {
  return incarnation.slice(0, incarnation.lastIndexOf("."));
}
