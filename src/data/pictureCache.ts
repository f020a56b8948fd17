import type { Picture } from "./resize.js";

/** Pictures by key, the least recently used dropped first once their pixels exceed a bound. */
export class PictureCache {
  readonly #bytesMax: number;
  /** A Map keeps the order of insertion, so its first key is the one used longest ago. */
  readonly #kept = new Map<string, Picture>();
  readonly #making = new Map<string, Promise<Picture>>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes of pixels held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Makes a picture once even when several ask for it at the same time. Failures are not kept. */
  async get(key: string, make: () => Promise<Picture>): Promise<Picture> {
    const kept = this.#kept.get(key);
    if (kept !== undefined) {
      this.#kept.delete(key);
      this.#kept.set(key, kept);
      return kept;
    }
    const making = this.#making.get(key) ?? this.#make(key, make);
    return making;
  }

  async #make(key: string, make: () => Promise<Picture>): Promise<Picture> {
    const making = make();
    this.#making.set(key, making);
    try {
      const picture = await making;
      this.#keep(key, picture);
      return picture;
    } finally {
      this.#making.delete(key);
    }
  }

  #keep(key: string, picture: Picture): void {
    if (picture.pixels.length > this.#bytesMax) return;
    this.#kept.set(key, picture);
    this.#bytes += picture.pixels.length;
    for (const [oldest, { pixels }] of this.#kept) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#kept.delete(oldest);
      this.#bytes -= pixels.length;
    }
  }
}
