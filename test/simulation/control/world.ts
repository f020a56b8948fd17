import { Random } from "../../../src/plan/random.js";
import { Heap } from "./heap.js";

/** One thread, one clock that is a number, one source of chance: what happens is a function of the seed. */
export class World {
  readonly random: Random;
  /** What happened, in words, for whoever replays a seed. */
  readonly story: string[] = [];
  readonly #heap = new Heap();
  #nowMs = 0;
  #isOver = false;
  #isUnsettled = false;

  constructor(seed: number) {
    this.random = new Random(seed, 4242);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  tell(line: string): void {
    this.story.push(`${(this.#nowMs / 1000).toFixed(3)} ${line}`);
  }

  after(ms: number, run: () => void): void {
    this.#heap.push(this.#nowMs + ms, run);
  }

  /** Lets things happen, in order of their time, until `end` is called. */
  async run(): Promise<void> {
    // The thread's other business has its turn once in each world.
    await new Promise((resolve) => setImmediate(resolve));
    for (let next = this.#heap.pop(); next !== undefined; next = this.#heap.pop()) {
      this.#nowMs = next.atMs;
      next.run();
      if (this.#isUnsettled) await this.#settled();
      if (this.#isOver) return;
    }
  }

  end(): void {
    this.#isOver = true;
  }

  /**
   * To be called by whoever settles a promise: all that waits for it, and for what comes of it,
   * has its turn before the next event. Waiting costs time, so nobody waits for nothing.
   */
  unsettle(): void {
    this.#isUnsettled = true;
  }

  /** A whole number of ms between the two, both included. */
  between(low: number, high: number): number {
    return low + this.random.below(high - low + 1);
  }

  chance(probability: number): boolean {
    return this.random.float() < probability;
  }

  pick<Item>(items: readonly Item[]): Item | undefined {
    return items[this.random.below(Math.max(1, items.length))];
  }

  async #settled(): Promise<void> {
    this.#isUnsettled = false;
    // A tick has its turn when no promise is left to be settled.
    await new Promise<void>((resolve) => {
      process.nextTick(resolve);
    });
  }
}
