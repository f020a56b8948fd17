import { ConfigError } from "../src/job/problem.js";
import { fileBytesMax } from "../src/data/pictureBounds.js";
import type { BlobPart } from "../src/wire/training.js";

export interface IncomingBlob {
  readonly sha256: string;
  readonly bytes: number;
  /** To be read before the next blob is asked for; what is not read is passed over. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** A stream of parts -> blob after blob. ConfigError: bytes without a hash, or a blob that is too large by what it says. */
export async function* incomingBlobs(parts: AsyncIterable<BlobPart>): AsyncGenerator<IncomingBlob> {
  const iterator = parts[Symbol.asyncIterator]();
  const place: { part: BlobPart | undefined } = { part: undefined };
  const advance = async (): Promise<BlobPart | undefined> => {
    const step = await iterator.next();
    return (place.part = step.done === true ? undefined : step.value);
  };
  await advance();
  try {
    while (place.part !== undefined) {
      const { sha256, bytes } = place.part;
      if (sha256 === "") throw new ConfigError("bytes of a blob came before its hash");
      if (bytes < 1 || bytes > fileBytesMax)
        throw new ConfigError(`blob ${sha256} has ${bytes} bytes, not from 1 to ${fileBytesMax}`);
      const chunks = chunksOf(place.part, advance);
      yield { sha256, bytes, chunks };
      while ((await chunks.next()).done !== true);
    }
  } finally {
    await iterator.return?.();
  }
}

/** Leaves the first part of the next blob behind. */
async function* chunksOf(
  first: BlobPart,
  advance: () => Promise<BlobPart | undefined>,
): AsyncGenerator<Uint8Array> {
  yield first.data;
  for (let part = await advance(); part?.sha256 === ""; part = await advance()) yield part.data;
}
