/**
 * Jobs that were removed, as marks in the store: `removed/JOB.DAY`, with `.weights` where those stay. A mark is there before
 * anything goes, so that a removal that was begun is ended by whoever holds the lock next, also where NATS was put back to a time
 * when the job was there. And a job's id is never that of one that was removed: what is left of that one anywhere, a worker
 * that was cut off, a file that it writes late, lines of its log, is never taken for the new one's.
 */
import type { Store } from "../src/store/store.js";

const folder = "removed/";
/** The day, since 1970, is for people who clear old ones. */
const pattern = /^removed\/([a-z0-9-]+)\.\d{1,6}(\.weights)?$/;
const dayMs = 86_400_000;
const idMax = 63;

export class RemovedJobs {
  readonly #store: Store;
  /** By job: whether its weights stay. */
  readonly #marks: Map<string, boolean>;

  static async open(store: Store): Promise<RemovedJobs> {
    const marks = new Map<string, boolean>();
    for (const file of await store.list(folder)) {
      const [, job = "", weights] = pattern.exec(file) ?? [];
      if (job !== "") marks.set(job, weights !== undefined);
    }
    return new RemovedJobs(store, marks);
  }

  private constructor(store: Store, marks: Map<string, boolean>) {
    this.#store = store;
    this.#marks = marks;
  }

  has(job: string): boolean {
    return this.#marks.has(job);
  }

  keepsWeights(job: string): boolean {
    return this.#marks.get(job) ?? false;
  }

  /** The id of a new job of that name: the name itself, or, where that was used before, the name with a number behind it. */
  idFor(name: string, isTaken: (id: string) => boolean): string {
    const isFree = (id: string): boolean => !this.#marks.has(id) && !isTaken(id);
    for (let number = 1; ; number += 1) {
      const suffix = number === 1 ? "" : `--${number}`;
      const id = `${name.slice(0, idMax - suffix.length)}${suffix}`;
      if (isFree(id)) return id;
    }
  }

  async mark(job: string, keepsWeights: boolean): Promise<void> {
    const day = Math.floor(Date.now() / dayMs);
    await this.#store.put(`${folder}${job}.${day}${keepsWeights ? ".weights" : ""}`, []);
    this.#marks.set(job, keepsWeights);
  }
}
