import { setTimeout as sleep } from "node:timers/promises";
import type { Chunks, Store, Stored } from "../../src/store/store.js";

/** A store that is far away: every request takes its time, and is counted. */
export class SlowStore implements Store {
  readonly #store: Store;
  readonly #delayMs: number;
  requests = 0;

  constructor(store: Store, delayMs: number) {
    this.#store = store;
    this.#delayMs = delayMs;
  }

  async put(name: string, chunks: Chunks): Promise<Stored> {
    await this.#travel();
    return this.#store.put(name, chunks);
  }

  async putNew(name: string, chunks: Chunks): Promise<Stored | undefined> {
    await this.#travel();
    return this.#store.putNew(name, chunks);
  }

  async *get(name: string): AsyncIterable<Uint8Array> {
    await this.#travel();
    yield* this.#store.get(name);
  }

  async stat(name: string): Promise<{ readonly bytes: number } | undefined> {
    await this.#travel();
    return this.#store.stat(name);
  }

  async list(prefix: string): Promise<string[]> {
    const names = await this.#store.list(prefix);
    // As S3 does: a thousand names with each answer.
    for (let page = 0; page * 1000 <= names.length; page += 1) await this.#travel();
    return names;
  }

  async delete(name: string): Promise<void> {
    await this.#travel();
    await this.#store.delete(name);
  }

  async #travel(): Promise<void> {
    this.requests += 1;
    if (this.#delayMs > 0) await sleep(this.#delayMs);
  }
}
