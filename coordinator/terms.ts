import { setTimeout as sleep } from "node:timers/promises";

import { believedMax } from "../src/job/limits.js";
import { reasonOf } from "../src/job/problem.js";
import type { Logger } from "../src/process/logger.js";
import { highestManifestTerm } from "../src/store/checkpoint.js";
import type { Store } from "../src/store/store.js";
import { jobRecord } from "../src/wire/jobRecord.js";
import type { TermBook } from "./lock.js";
import { Copies } from "./mirrorFiles.js";

const folder = "terms/";
const noteEveryMs = 2_000;

/**
 * The terms that coordinators have had, as the store tells: by their claims, and where there are none by the copies of records
 * and the checkpoints. So no two have the same one, also where NATS has lost its storage between them and nothing else had been
 * written yet. A claim that the store did not take is noted as soon as it does.
 */
export class StoreTerms implements TermBook {
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #signal: AbortSignal;
  /** The highest that is to be noted. */
  #unnoted = 0;

  constructor(store: Store, logger: Logger, signal: AbortSignal) {
    this.#store = store;
    this.#logger = logger;
    this.#signal = signal;
  }

  async highest(): Promise<number> {
    const claimed = (await this.#claimed()).filter(isBelieved);
    // All else follows from a claim. To read it takes longer the more jobs there were.
    if (claimed.length > 0) return Math.max(...claimed);
    const copies = await Copies.list(this.#store, jobRecord);
    const { found } = await copies.read(copies.jobs());
    const terms = [await highestManifestTerm(this.#store), ...found.map(({ term }) => term)];
    return terms.filter(isBelieved).reduce((highest, term) => Math.max(highest, term), 0);
  }

  /** A store that takes nothing, as when its disk is full, keeps nobody from the office. */
  async claim(term: number): Promise<boolean> {
    try {
      if ((await this.#store.putNew(fileOf(term), [])) === undefined) return false;
      await this.#forgetOlder(term);
    } catch (error) {
      this.#logger.warn({ term, reason: reasonOf(error) }, "the term is not noted in the store");
      if (this.#unnoted === 0) void this.#noteLater();
      this.#unnoted = Math.max(this.#unnoted, term);
    }
    return true;
  }

  /** The one before stays: another may have claimed it a moment ago, and give this one back. */
  async #forgetOlder(term: number): Promise<void> {
    const older = (await this.#claimed()).filter((one) => one < term).toSorted((a, b) => a - b);
    for (const one of older.slice(0, -1)) await this.#store.delete(fileOf(one));
  }

  async #noteLater(): Promise<void> {
    do {
      await sleep(noteEveryMs, undefined, { signal: this.#signal, ref: false }).catch(
        () => undefined,
      );
      if (this.#signal.aborted) return;
      const noted = this.#unnoted;
      await this.#store.put(fileOf(noted), []).then(
        () => {
          if (this.#unnoted === noted) this.#unnoted = 0;
        },
        () => undefined,
      );
    } while (this.#unnoted > 0);
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
