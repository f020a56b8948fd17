/** A stream of pieces -> a file that appears whole or not at all. */
import { randomBytes } from "node:crypto";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { FailureError } from "../job/problem.js";
import { fileProblem } from "../process/fileProblem.js";
import { syncFolder } from "../store/syncFolder.js";
import type { Chunk } from "../wire/training.js";
import { refuseExisting } from "./exportTarget.js";

export interface SaveOptions {
  readonly onProgress?: ((bytes: number, total: number) => void) | undefined;
  /** Whether a file that is there is replaced. */
  readonly force: boolean;
}

/**
 * Returns the bytes written. FailureError: the file cannot be written, or the stream ended early. ConfigError: a file of that
 * name has come meanwhile.
 */
export async function saveChunks(
  chunks: AsyncIterable<Chunk>,
  file: string,
  { onProgress = () => undefined, force }: SaveOptions,
): Promise<number> {
  const part = `${file}.${randomBytes(6).toString("hex")}.part`;
  const handle = await open(part, "wx").catch((error: unknown) => {
    throw unwritable(file, error);
  });
  try {
    const bytes = await writeAll(handle, chunks, file, onProgress);
    await handle.sync();
    await handle.close();
    await refuseExisting(file, force);
    await rename(part, file);
    await syncFolder(dirname(file));
    return bytes;
  } catch (error) {
    await handle.close().catch(() => undefined);
    await rm(part, { force: true });
    throw isSystemError(error) ? unwritable(file, error) : error;
  }
}

async function writeAll(
  handle: FileHandle,
  chunks: AsyncIterable<Chunk>,
  file: string,
  onProgress: (bytes: number, total: number) => void,
): Promise<number> {
  let bytes = 0;
  let total = 0;
  for await (const { data, totalBytes } of chunks) {
    await handle.writeFile(data);
    bytes += data.length;
    total = totalBytes;
    onProgress(bytes, total);
  }
  if (bytes === 0 || bytes !== total) {
    throw new FailureError(`only ${bytes} of ${total} bytes for ${file} came; nothing was written`);
  }
  return bytes;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}

function unwritable(file: string, error: unknown): FailureError {
  return new FailureError(`cannot write ${file}: ${fileProblem(error)}`, { cause: error });
}
