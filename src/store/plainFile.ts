import { constants, type Stats } from "node:fs";
import { lstat, open, readlink, realpath, type FileHandle } from "node:fs/promises";
import { dirname, sep } from "node:path";
import { codeOf } from "../job/problem.js";

/**
 * Files of a store's folder as what they are: whoever may write there, as every worker may, could put a link, a pipe or a device
 * in place of a file, and have a process read, with its own rights, what is no part of the store.
 */

/** Something in the store that is no plain file below its root. As a system error, so that it is told of like one. */
class OutsideError extends Error {
  readonly code = "ELOOP";
  readonly syscall = "open";

  constructor(path: string) {
    super(`${path} is no plain file of the store: links are not followed`);
  }
}

/** Rejects as `open` does, and for what is no plain file below `root`. */
export async function openPlain(root: string, path: string): Promise<FileHandle> {
  await checkFolder(root, dirname(path));
  // Without waiting: opening a pipe would, for ever.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch((error: unknown) => {
    throw isLink(error) ? new OutsideError(path) : error;
  });
  try {
    if (!(await file.stat()).isFile()) throw new OutsideError(path);
    // The folder may have become a link since it was looked at; what was opened tells.
    const opened = await readlink(`/proc/self/fd/${file.fd}`).catch(() => undefined);
    if (opened !== undefined && !isBelow(await realpath(root), opened))
      throw new OutsideError(path);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Undefined for what is no plain file. Rejects as `lstat` does, and where its folder is not below `root`. */
export async function statPlain(root: string, path: string): Promise<Stats | undefined> {
  await checkFolder(root, dirname(path));
  const found = await lstat(path);
  return found.isFile() ? found : undefined;
}

/** Rejects as `realpath` does, and where links lead out of `root` on the way to the folder. */
export async function checkFolder(root: string, folder: string): Promise<void> {
  const [top, real] = await Promise.all([realpath(root), realpath(folder)]);
  if (real !== top && !isBelow(top, real)) throw new OutsideError(folder);
}

function isBelow(top: string, path: string): boolean {
  return path.startsWith(top.endsWith(sep) ? top : `${top}${sep}`);
}

function isLink(error: unknown): boolean {
  return codeOf(error) === "ELOOP";
}
