interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** What is still to happen: the earliest first, and of two at once the one that was put in first. */
export class Heap {
  readonly #entries: Entry[] = [];
  #order = 0;

  push(atMs: number, run: () => void): void {
    const entries = this.#entries;
    const entry = { atMs, order: (this.#order += 1), run };
    entries.push(entry);
    let at = entries.length - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = entries[above];
      if (parent === undefined || isBefore(parent, entry)) break;
      entries[at] = parent;
      at = above;
    }
    entries[at] = entry;
  }

  pop(): Entry | undefined {
    const entries = this.#entries;
    const [first] = entries;
    const last = entries.pop();
    if (first === undefined || last === undefined || entries.length === 0) return first;
    let at = 0;
    for (;;) {
      const left = entries[2 * at + 1];
      const right = entries[2 * at + 2];
      if (left === undefined) break;
      const isRight = right !== undefined && isBefore(right, left);
      const child = isRight ? right : left;
      if (isBefore(last, child)) break;
      entries[at] = child;
      at = 2 * at + (isRight ? 2 : 1);
    }
    entries[at] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
