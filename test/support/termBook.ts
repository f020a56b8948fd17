import type { TermBook } from "../../coordinator/lock.js";

/** Terms as a store keeps them, in memory; `known` is the highest that is known from elsewhere. */
export class MemoryTerms implements TermBook {
  known: number;
  readonly claimed = new Set<number>();

  constructor(known = 0) {
    this.known = known;
  }

  async highest(): Promise<number> {
    return Math.max(this.known, ...this.claimed);
  }

  async claim(term: number): Promise<boolean> {
    if (this.claimed.has(term)) return false;
    this.claimed.add(term);
    return true;
  }

  async giveBack(term: number): Promise<void> {
    this.claimed.delete(term);
  }
}
