/** An update that can be made now. */
export interface Update {
  readonly step: number;
  readonly save: boolean;
  /** Belongs to the exchange until `applied` says that the step is over. */
  readonly sum: Float32Array;
  /** What is wrong with it; undefined if it is the one that was decided. */
  readonly wrong: string | undefined;
}

interface Open {
  readonly isFollowed: boolean;
  readonly trial: number;
  sum: Sum | undefined;
}

interface Sum {
  readonly values: Float32Array;
  readonly checksum: number;
}

interface Owed {
  readonly step: number;
  readonly save: boolean;
  readonly sumChecksum: number | undefined;
}

/**
 * The steps that a process has open, and the updates that it was told to make. A member makes each
 * at once. One that still takes the state of an earlier step keeps the finished sums meanwhile, and
 * makes the updates on top of it, in their order, when it is there.
 */
export class OpenSteps {
  readonly #open = new Map<number, Open>();
  #owed: Owed[] = [];
  #at = 0;
  #isLoading = true;

  /** The state that is held, as soon as all calls made are done; or the one being loaded. */
  get at(): number {
    return this.#at;
  }

  /** Another state is on its way. Returns the steps that are over with it. */
  load(step: number): readonly number[] {
    this.#at = step;
    this.#isLoading = true;
    this.#owed = [];
    const over = [...this.#open.keys()];
    this.#open.clear();
    return over;
  }

  /** Whether that state is held, as soon as all calls made are done. */
  isAt(step: number): boolean {
    return !this.#isLoading && this.#at === step;
  }

  loaded(): void {
    this.#isLoading = false;
  }

  /**
   * A deal of the step's round; returns whether it is the first. `isFollowed`: others collect its
   * sum late. With a higher trial than before the exchange takes the sum back.
   */
  deal(step: number, isFollowed: boolean, trial = 0): boolean {
    const open = this.#open.get(step);
    const isBack = open !== undefined && open.trial < trial;
    this.#open.set(step, { isFollowed, trial, sum: isBack ? undefined : open?.sum });
    return open === undefined;
  }

  /** The step's sum is here. */
  summed(step: number, values: Float32Array, checksum: number): void {
    const open = this.#open.get(step);
    if (open !== undefined) open.sum = { values, checksum };
  }

  /** The step is to be applied. `sumChecksum`: of the sum that was decided, if anybody knows. */
  owe(step: number, save: boolean, sumChecksum: number | undefined): void {
    this.#owed.push({ step, save, sumChecksum });
  }

  /** The next update, if state and sum are there; from then on the state counts as moved on. */
  next(): Update | undefined {
    const [first] = this.#owed;
    if (first === undefined || this.#isLoading || first.step !== this.#at) return undefined;
    const sum = this.#open.get(first.step)?.sum;
    if (sum === undefined) return undefined;
    this.#owed.shift();
    this.#at += 1;
    const { step, save, sumChecksum = sum.checksum } = first;
    const wrong =
      sum.checksum === sumChecksum
        ? undefined
        : `its sum of step ${step} has checksum ${sum.checksum}, and the one that was decided ${sumChecksum}`;
    return { step, save, sum: sum.values, wrong };
  }

  isFollowed(step: number): boolean {
    return this.#open.get(step)?.isFollowed === true;
  }

  /** The update is made. Returns the steps that are over: the sum of one that is followed is kept for one more. */
  applied(step: number): readonly number[] {
    const over = [...this.#open.keys()].filter(
      (open) => open < step || (open === step && !this.isFollowed(step)),
    );
    for (const one of over) this.#open.delete(one);
    return over;
  }
}
