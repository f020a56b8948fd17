import { setTimeout as sleep } from "node:timers/promises";
import { UnreadableError } from "../job/problem.js";
import type { ExampleEntry } from "./dataIndex.js";
import type { PictureSource } from "./pictureSource.js";

/** Waits between two tries to read a picture, in ms: some 30 s in all, as long as a mount may be away for a moment. */
export const rereadWaitsMs: readonly number[] = [200, 400, 800, 1_600, 3_000, 6_000, 8_000, 10_000];

/**
 * Reads a picture of the index again and again until it is there. UnreadableError: it could not be
 * read for all that time. FailureError, at once: it is another picture now.
 */
export async function rereadPatiently(
  source: PictureSource,
  entry: ExampleEntry,
  waitsMs: readonly number[],
): Promise<Uint8Array> {
  for (const waitMs of waitsMs) {
    try {
      return await source.reread(entry);
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
    }
    await sleep(waitMs);
  }
  return await source.reread(entry);
}
