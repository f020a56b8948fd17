/** Removes jobs that have ended, with all that the fleet keeps of them. */
import type { Fleet } from "../src/control/fleetState.js";
import { hasEnded, type JobRecord } from "../src/control/record.js";
import { FailureError } from "../src/job/problem.js";
import { shell } from "../src/job/shell.js";
import { weightsName } from "../src/job/storedNames.js";
import type { Store } from "../src/store/store.js";
import type { RemovedJobs } from "./removedJobs.js";

export interface JobRemovalOptions {
  readonly store: Store;
  readonly removed: RemovedJobs;
  readonly fleet: () => Fleet;
  /** Has the fleet know the job no more. */
  readonly drop: (job: string) => void;
  /** Forgets its lines and its record; the record goes last. */
  readonly forget: (job: string) => Promise<void>;
  /** Whether this coordinator holds the lock now, however long it takes to know. */
  readonly isHolder: () => Promise<boolean>;
  /** Whether the index may be asked for by a job that is not there yet. */
  readonly isIndexInUse: (digest: string) => boolean;
}

export class JobRemoval {
  readonly #options: JobRemovalOptions;
  readonly #removing = new Set<string>();

  constructor(options: JobRemovalOptions) {
    this.#options = options;
  }

  isRemoving(job: string): boolean {
    return this.#removing.has(job);
  }

  /** FailureError: it has not ended, or another needs what would go. Answers with how many files went. */
  async remove(record: JobRecord, keepsWeights: boolean): Promise<number> {
    const { removed, isHolder, fleet, drop } = this.#options;
    const { name } = record;
    this.check(record, keepsWeights);
    this.#removing.add(name);
    try {
      if (!(await isHolder()))
        throw new FailureError(
          `job ${name} was not removed: another coordinator has taken over; ask again`,
        );
      await removed.mark(name, keepsWeights);
      // The mark may have taken long, and whoever has taken over without it still has the job.
      await this.#checkHeld(name);
      drop(name);
      if (fleet().records.has(name))
        throw new FailureError(`job ${name} was not removed: it is under way again`);
      const count = await this.finish(name, record.indexDigest);
      await this.#checkHeld(name);
      return count;
    } finally {
      this.#removing.delete(name);
    }
  }

  async #checkHeld(job: string): Promise<void> {
    if (await this.#options.isHolder()) return;
    throw new FailureError(
      `job ${job} may not have been removed: another coordinator has taken over; ask again`,
    );
  }

  check(record: JobRecord, keepsWeights: boolean): void {
    const { name, state } = record;
    const { runs, records } = this.#options.fleet();
    if (this.#removing.has(name)) throw new FailureError(`job ${name} is being removed`);
    if (!hasEnded(state))
      throw new FailureError(
        `job ${name} cannot be removed: it is ${state}, and only a job that has ended is; "${shell`bitfleet cancel ${name}`}" first`,
      );
    if (runs.has(name))
      throw new FailureError(
        `job ${name} cannot be removed: workers still let go of it; ask again`,
      );
    if (keepsWeights || record.weights === undefined) return;
    for (const other of records.values()) {
      // One that failed or was cancelled may go on, from its start if need be.
      if (other.state === "done" || other.plan.settings.weights !== `job:${name}`) continue;
      throw new FailureError(
        `job ${name} cannot be removed: job ${other.name} needs its weights; --keep-weights leaves them`,
      );
    }
  }

  /** What was begun, here or by a coordinator before; a mark says that it was. */
  async finish(job: string, indexDigest: string): Promise<number> {
    const { store, removed, forget, isHolder } = this.#options;
    const kept = removed.keepsWeights(job) ? weightsName(job) : undefined;
    let count = 0;
    for (const file of await store.list(`jobs/${job}/`)) {
      if (file === kept) continue;
      await store.delete(file);
      count += 1;
    }
    // Whoever was replaced meanwhile does not know who needs it now.
    if ((await isHolder()) && !this.#needsIndex(indexDigest))
      await store.delete(`indexes/${indexDigest}.json`);
    await forget(job);
    return count;
  }

  #needsIndex(digest: string): boolean {
    const { fleet, isIndexInUse } = this.#options;
    if (isIndexInUse(digest)) return true;
    for (const { indexDigest } of fleet().records.values()) if (indexDigest === digest) return true;
    return false;
  }
}
