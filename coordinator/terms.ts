import { believedMax } from "../src/job/limits.js";
import { reasonOf } from "../src/job/problem.js";
import type { Logger } from "../src/process/logger.js";
import { highestManifestTerm } from "../src/store/checkpoint.js";
import type { Store } from "../src/store/store.js";
import { jobRecord } from "../src/wire/jobRecord.js";
import type { TermBook } from "./lock.js";
import { readMirror } from "./mirror.js";

const folder = "terms/";

/**
 * The terms that coordinators have had, as the store tells: by their claims, the copies of records and the checkpoints. So no
 * two have the same one, also where NATS has lost its storage between them and nothing else had been written yet.
 */
export class StoreTerms implements TermBook {
  readonly #store: Store;
  readonly #logger: Logger;

  constructor(store: Store, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  async highest(): Promise<number> {
    const { found } = await readMirror(this.#store, jobRecord);
    const terms = found.map(({ term }) => term);
    const manifests = await highestManifestTerm(this.#store);
    return Math.max(0, ...[manifests, ...terms, ...(await this.#claimed())].filter(isBelieved));
  }

  /** A store that takes nothing, as when its disk is full, keeps nobody from the office. */
  async claim(term: number): Promise<boolean> {
    try {
      if ((await this.#store.putNew(fileOf(term), [])) === undefined) return false;
      const older = (await this.#claimed()).filter((one) => one < term);
      for (const one of older) await this.#store.delete(fileOf(one));
    } catch (error) {
      this.#logger.warn({ term, reason: reasonOf(error) }, "the term is not noted in the store");
    }
    return true;
  }

  async giveBack(term: number): Promise<void> {
    // One that stays costs a number.
    await this.#store.delete(fileOf(term)).catch(() => undefined);
  }

  async #claimed(): Promise<readonly number[]> {
    const names = await this.#store.list(folder);
    return names.map((name) => Number(name.slice(folder.length))).filter(Number.isSafeInteger);
  }
}

/** Others may write into the store: one term too high would be the last that any worker obeys. */
function isBelieved(term: number): boolean {
  return term <= believedMax;
}

function fileOf(term: number): string {
  return `${folder}${term}`;
}
