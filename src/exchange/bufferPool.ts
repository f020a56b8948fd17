/** Where the exchange takes large vectors from, so that a caller may put them in shared memory. */
export interface Buffers {
  /** A vector of `elements` values, whose contents may be anything. */
  allocate(elements: number): Float32Array;
  /** Says that nobody reads or writes the vector any more. */
  release(values: Float32Array): void;
}

/** Keeps released vectors for the next step: fresh memory costs a page fault every 4 kB. */
export class BufferPool implements Buffers {
  readonly #create: (elements: number) => Float32Array;
  readonly #keptMax: number;
  readonly #free = new Map<number, Float32Array[]>();

  /** Keeps at most `keptMax` free vectors of each size. */
  constructor(
    create: (elements: number) => Float32Array = (elements) => new Float32Array(elements),
    keptMax = 8,
  ) {
    this.#create = create;
    this.#keptMax = keptMax;
  }

  allocate(elements: number): Float32Array {
    return this.#free.get(elements)?.pop() ?? this.#create(elements);
  }

  release(values: Float32Array): void {
    const free = this.#free.get(values.length) ?? [];
    if (free.length < this.#keptMax) free.push(values);
    this.#free.set(values.length, free);
  }
}
