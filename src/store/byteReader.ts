import type { Chunks } from "./store.js";

/** Reads a stream of chunks by exact counts of bytes, never more than it is asked for. */
export class ByteReader {
  readonly #chunks: Iterator<Uint8Array> | AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: Chunks) {
    this.#chunks =
      Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  }

  /** Fills `target`; false when the stream ends before. */
  async fill(target: Uint8Array): Promise<boolean> {
    let filled = 0;
    while (filled < target.length) {
      if (this.#rest.length === 0 && !(await this.#next())) return false;
      const part = this.#rest.subarray(0, target.length - filled);
      target.set(part, filled);
      filled += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
    return true;
  }

  /** The next `count` bytes, undefined when the stream ends before. */
  async take(count: number): Promise<Uint8Array | undefined> {
    const taken = new Uint8Array(count);
    return (await this.fill(taken)) ? taken : undefined;
  }

  async atEnd(): Promise<boolean> {
    return this.#rest.length === 0 && !(await this.#next());
  }

  /** Ends a stream that is not read to its end, so that what is behind it is closed. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #next(): Promise<boolean> {
    for (;;) {
      const step = await this.#chunks.next();
      if (step.done === true) return false;
      this.#rest = step.value;
      if (this.#rest.length > 0) return true;
    }
  }
}
