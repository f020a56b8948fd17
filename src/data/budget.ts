/**
 * Lets work in by what it weighs: as much at once as a bound allows, in the order in which it came. What weighs more than the
 * bound runs alone.
 */
export class Budget {
  readonly #bound: number;
  readonly #waiting: { readonly weight: number; readonly enter: () => void }[] = [];
  #used = 0;
  #running = 0;

  constructor(bound: number) {
    this.#bound = bound;
  }

  async run<T>(weight: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#fits(weight))
      await new Promise<void>((enter) => this.#waiting.push({ weight, enter }));
    else this.#take(weight);
    try {
      return await work();
    } finally {
      this.#used -= weight;
      this.#running -= 1;
      this.#admit();
    }
  }

  #fits(weight: number): boolean {
    return this.#running === 0 || this.#used + weight <= this.#bound;
  }

  #take(weight: number): void {
    this.#used += weight;
    this.#running += 1;
  }

  /** Those let in count from now on, and not from when they come to run. */
  #admit(): void {
    for (let [next] = this.#waiting; next !== undefined; [next] = this.#waiting) {
      if (!this.#fits(next.weight)) return;
      this.#waiting.shift();
      this.#take(next.weight);
      next.enter();
    }
  }
}
