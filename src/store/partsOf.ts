import type { Chunks } from "./store.js";

export interface Part {
  readonly bytes: Uint8Array;
  readonly isLast: boolean;
}

/** Chunks of any size -> parts of exactly `partBytes`, of which the last, always there, may have fewer or none. */
export async function* partsOf(chunks: Chunks, partBytes: number): AsyncGenerator<Part> {
  let part = Buffer.allocUnsafe(0);
  let filled = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) {
      if (filled === partBytes) {
        yield { bytes: part, isLast: false };
        part = Buffer.allocUnsafe(0);
        filled = 0;
      }
      const taken = chunk.subarray(at, at + partBytes - filled);
      if (part.length < filled + taken.length) {
        // Most files are small: the room grows with what comes.
        const room = Math.min(partBytes, Math.max(2 * part.length, filled + taken.length));
        const larger = Buffer.allocUnsafe(room);
        part.copy(larger, 0, 0, filled);
        part = larger;
      }
      part.set(taken, filled);
      filled += taken.length;
      at += taken.length;
    }
  }
  yield { bytes: part.subarray(0, filled), isLast: true };
}
