import type { Store, Stored } from "../../../src/store/store.js";
import type { Process } from "./process.js";
import type { Shelf } from "./shelf.js";
import type { World } from "./world.js";

/** Chance that the store takes seconds. */
const slow = 0.1;

/**
 * The store as a coordinator sees it that removes jobs. What it asks for takes time and is carried out though it dies meanwhile,
 * and the answer comes when it looks.
 */
export class ShelfStore implements Store {
  readonly #world: World;
  readonly #shelf: Shelf;
  readonly #client: Process;

  constructor(world: World, shelf: Shelf, client: Process) {
    this.#world = world;
    this.#shelf = shelf;
    this.#client = client;
  }

  put(name: string): Promise<Stored> {
    return this.#soon(() => {
      this.#shelf.marks.add(name);
      return { sha256: "", bytes: 0 };
    });
  }

  list(prefix: string): Promise<string[]> {
    return this.#soon(() => this.#shelf.files().filter((name) => name.startsWith(prefix)));
  }

  delete(name: string): Promise<void> {
    return this.#soon(() => {
      this.#shelf.delete(name);
    });
  }

  putNew(name: string): Promise<Stored | undefined> {
    throw new Error(`nobody puts ${name}`);
  }

  get(name: string): AsyncIterable<Uint8Array> {
    throw new Error(`nobody reads ${name}`);
  }

  stat(name: string): Promise<{ readonly bytes: number } | undefined> {
    throw new Error(`nobody looks at ${name}`);
  }

  #soon<Answer>(act: () => Answer): Promise<Answer> {
    const world = this.#world;
    const ms = world.chance(slow) ? world.between(500, 12_000) : world.between(1, 20);
    return new Promise((resolve) => {
      world.after(ms, () => {
        const answer = act();
        this.#client.do(() => {
          world.unsettle();
          resolve(answer);
        });
      });
    });
  }
}
