/** Folders of a store come with their first file and go with their last. */
import { open, rmdir, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf } from "../job/problem.js";

const createTries = 5;

/**
 * Opens a new file, and has its folder made by `makeFolder` before: again where somebody who deleted the last file there has
 * removed the folder meanwhile.
 */
export async function createIn(
  makeFolder: (folder: string) => Promise<void>,
  path: string,
): Promise<FileHandle> {
  for (let tries = 1; ; tries += 1) {
    try {
      await makeFolder(dirname(path));
      return await open(path, "wx", 0o644);
    } catch (error) {
      const isGone = codeOf(error) === "ENOENT";
      if (!isGone || tries === createTries) throw error;
    }
  }
}

/** Removes the folders on the way to `name` below `root`, as far as nothing is in them. */
export async function removeEmptyAbove(root: string, name: string): Promise<void> {
  for (let part = dirname(name); part !== "."; part = dirname(part)) {
    if (!(await removeEmpty(join(root, part)))) return;
  }
}

/** False where there is something in it, or it cannot be removed. */
export async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch {
    return false;
  }
}
