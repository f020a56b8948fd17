/**
 * Temporary files of a process: they end with it, however it ends. Each process has a folder of its own among the system's temporary
 * ones, with a socket that it listens on. A folder where nobody listens is one of the dead, whichever container or life of the
 * machine it was of, and the next of our processes to start removes it.
 */
import { rmSync } from "node:fs";
import { lstat, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { isLive, liveSocket } from "./liveSocket.js";

const prefix = "bitfleet-tmp-";
/** Not yet listened on. */
const newPrefix = ".bitfleet-new-";
const socketName = "live";

let own: Promise<string> | undefined;
let ownPath: string | undefined;

/** A new folder that only this process uses; removed at the latest when it ends. */
export async function temporaryFolder(): Promise<string> {
  own ??= makeOwn();
  return mkdtemp(join(await own, "part-"));
}

/** At once, for a process that is about to be killed. */
export function removeOwnTemporary(): void {
  if (ownPath === undefined) return;
  try {
    rmSync(ownPath, { recursive: true, force: true });
  } catch {
    // Whoever starts next tries again.
  }
}

/** Removes what processes have left that are gone, and returns how many they were. */
export async function clearTemporary(folder = tmpdir()): Promise<number> {
  let cleared = 0;
  const names = await readdir(folder).catch(() => []);
  for (const path of names
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(folder, name)))
    try {
      const found = await lstat(path);
      // Another user's is another user's to remove.
      if (!found.isDirectory() || found.uid !== process.getuid?.()) continue;
      if (await isLive(path, socketName)) continue;
      await rm(path, { recursive: true, force: true });
      cleared += 1;
    } catch {
      // Somebody else removes it just now, or it may not be removed.
    }
  return cleared;
}

async function makeOwn(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), newPrefix));
  ownPath = made;
  process.once("exit", removeOwnTemporary);
  try {
    await liveSocket(made, socketName);
  } catch {
    return made; // No sockets on this file system: it keeps a name that nobody clears.
  }
  const path = join(tmpdir(), prefix + basename(made).slice(newPrefix.length));
  await rename(made, path);
  ownPath = path;
  return path;
}
