/**
 * A set of very many SHA-256, each by its first 52 bits: a few bytes instead of a text each. Two that begin alike are taken
 * for one, so `has` may be wrong, and then says yes.
 */
export class HashMarks {
  #marks = new Float64Array(1024);
  #count = 0;
  #sorted = true;

  add(sha256: string): void {
    if (this.#count === this.#marks.length) {
      const larger = new Float64Array(2 * this.#count);
      larger.set(this.#marks);
      this.#marks = larger;
    }
    this.#marks[this.#count] = markOf(sha256);
    this.#count += 1;
    this.#sorted = false;
  }

  has(sha256: string): boolean {
    if (!this.#sorted) this.#marks.subarray(0, this.#count).sort();
    this.#sorted = true;
    const mark = markOf(sha256);
    let [first, end] = [0, this.#count];
    while (first < end) {
      const middle = (first + end) >> 1;
      if ((this.#marks[middle] ?? 0) < mark) first = middle + 1;
      else end = middle;
    }
    return first < this.#count && this.#marks[first] === mark;
  }
}

function markOf(sha256: string): number {
  return Number.parseInt(sha256.slice(0, 13), 16);
}
