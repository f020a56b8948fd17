/**
 * Jobs that were removed, as marks in the store: `removed/JOB.DAY`, with `.weights` where those stay. A mark is there before
 * anything goes, so that a removal that was begun is ended by whoever holds the lock next, also where NATS was put back to a time
 * when the job was there. And a job's id is never that of one that was removed: what is left of that one anywhere, a worker
 * that was cut off, a file that it writes late, lines of its log, is never taken for the new one's.
 */
import type { Store } from "../src/store/store.js";

interface Mark {
  readonly file: string;
  /** Since 1970. */
  readonly day: number;
  readonly keepsWeights: boolean;
}

const folder = "removed/";
const pattern = /^removed\/([a-z0-9-]+)\.(\d{1,6})(\.weights)?$/;
const dayMs = 86_400_000;
/** No worker process is stopped for so long and goes on; a mark of kept weights stays, since their name is taken. */
const keptDays = 60;
const idMax = 63;

export class RemovedJobs {
  readonly #store: Store;
  readonly #marks: Map<string, Mark>;

  static async open(store: Store): Promise<RemovedJobs> {
    const marks = new Map<string, Mark>();
    for (const file of await store.list(folder)) {
      const [, job = "", day = "", weights] = pattern.exec(file) ?? [];
      if (job !== "")
        marks.set(job, { file, day: Number(day), keepsWeights: weights !== undefined });
    }
    return new RemovedJobs(store, marks);
  }

  private constructor(store: Store, marks: Map<string, Mark>) {
    this.#store = store;
    this.#marks = marks;
  }

  has(job: string): boolean {
    return this.#marks.has(job);
  }

  keepsWeights(job: string): boolean {
    return this.#marks.get(job)?.keepsWeights ?? false;
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
    const file = `${folder}${job}.${day}${keepsWeights ? ".weights" : ""}`;
    await this.#store.put(file, []);
    this.#marks.set(job, { file, day, keepsWeights });
  }

  /** Marks of long ago, of which nothing can be left. */
  old(nowMs = Date.now()): readonly string[] {
    const last = Math.floor(nowMs / dayMs) - keptDays;
    return [...this.#marks].flatMap(([job, { day, keepsWeights }]) =>
      day < last && !keepsWeights ? job : [],
    );
  }

  async forget(job: string): Promise<void> {
    const mark = this.#marks.get(job);
    if (mark === undefined) return;
    await this.#store.delete(mark.file);
    this.#marks.delete(job);
  }
}
