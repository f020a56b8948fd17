import { Random } from "../../../src/plan/random.js";

/** One thread, one clock that is a number, one source of chance: what happens is a function of the seed. */
export class World {
  readonly random: Random;
  /** What happened, in words, for whoever replays a seed. */
  readonly story: string[] = [];
  readonly #heap: { readonly atMs: number; readonly order: number; readonly run: () => void }[] =
    [];
  #nowMs = 0;
  #order = 0;

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
    this.#order += 1;
    this.#push({ atMs: this.#nowMs + ms, order: this.#order, run });
  }

  /** Lets things happen, in order of their time, until `isOver` or the time is up. */
  run(untilMs: number, isOver: () => boolean): void {
    for (let next = this.#pop(); next !== undefined; next = this.#pop()) {
      this.#nowMs = next.atMs;
      next.run();
      if (isOver() || this.#nowMs >= untilMs) return;
    }
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

  #push(entry: { readonly atMs: number; readonly order: number; readonly run: () => void }): void {
    const heap = this.#heap;
    heap.push(entry);
    let at = heap.length - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, entry)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = entry;
  }

  #pop(): { readonly atMs: number; readonly run: () => void } | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(
  a: { readonly atMs: number; readonly order: number },
  b: { readonly atMs: number; readonly order: number },
): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Something that can be killed for good, and stopped for a while: what comes meanwhile waits. */
export class Process {
  readonly #world: World;
  #waiting: (() => void)[] = [];
  #isAlive = true;
  #isStopped = false;

  constructor(world: World) {
    this.#world = world;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  kill(): void {
    this.#isAlive = false;
    this.#waiting = [];
  }

  stop(): void {
    this.#isStopped = true;
  }

  goOn(): void {
    this.#isStopped = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) this.do(run);
  }

  do(run: () => void): void {
    if (!this.#isAlive) return;
    if (this.#isStopped) this.#waiting.push(run);
    else run();
  }

  after(ms: number, run: () => void): void {
    this.#world.after(ms, () => {
      this.do(run);
    });
  }

  every(ms: number, run: () => void): void {
    this.after(ms, () => {
      run();
      this.every(ms, run);
    });
  }
}
