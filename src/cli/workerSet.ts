/** As many workers as are wanted, each in a place of its own: its name, log, ports and GPU go by that. */
export interface Kept {
  /** Resolves once it has ended for good. */
  readonly over: Promise<unknown>;
  /** Has it finish or hand over what it does, and end for good. */
  stop(): Promise<void>;
}

export class WorkerSet {
  readonly #start: (place: number) => Kept;
  readonly #kept = new Map<number, Kept>();
  /** Those that were told to end. Their places are taken until they have. */
  readonly #leaving = new Map<number, Kept>();
  #wanted = 0;

  constructor(start: (place: number) => Kept) {
    this.#start = start;
  }

  /** Starts those that lack, in the first free places, or has the last ones end. */
  scale(wanted: number): void {
    this.#wanted = wanted;
    const places = [...this.#kept.keys()].toSorted((a, b) => a - b);
    for (const place of places.slice(wanted)) this.#leave(place);
    this.#fill();
  }

  /** Ends all, and resolves once they have ended. */
  async stop(): Promise<void> {
    this.scale(0);
    await Promise.all([...this.#leaving.values()].map(({ over }) => over));
  }

  /** One that belongs where another is still leaving waits for that: two in one place would be in each other's way. */
  #fill(): void {
    let missing = this.#wanted - this.#kept.size;
    for (let place = 0; missing > 0; place += 1) {
      if (this.#kept.has(place)) continue;
      missing -= 1;
      if (this.#leaving.has(place)) continue;
      const worker = this.#start(place);
      this.#kept.set(place, worker);
      void worker.over.then(() => this.#gone(place));
    }
  }

  #leave(place: number): void {
    const worker = this.#kept.get(place);
    if (worker === undefined) return;
    this.#kept.delete(place);
    this.#leaving.set(place, worker);
    void worker.stop();
  }

  #gone(place: number): void {
    // One that ended by itself, drained or wrongly set up, is not wanted back.
    if (this.#kept.delete(place)) this.#wanted -= 1;
    if (this.#leaving.delete(place)) this.#fill();
  }
}
