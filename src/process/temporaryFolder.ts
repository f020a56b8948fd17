/**
 * Temporary files of a process: they end with it, however it ends. Each process has a folder of its own among the system's temporary
 * ones, with a socket that it listens on. A folder where nobody listens is one of the dead, whichever container or life of the
 * machine it was of, and the next of our processes to start removes it.
 */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { lstat, mkdtemp, readdir, rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { isLive, listenAt } from "./liveSocket.js";

const prefix = "bitfleet-tmp-";
/** Not yet listened on. */
const newPrefix = ".bitfleet-new-";
const socketName = "live";
/** A folder is this old before it counts as left by a process that was killed between making it and listening there. */
const newMs = 60_000;

let ownPath: string | undefined;

/** A new folder that only this process uses; removed at the latest when it ends. */
export async function temporaryFolder(): Promise<string> {
  return mkdtemp(join(ownPath ?? makeOwn(), "part-"));
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
  for (const name of names.filter((name) => name.startsWith(prefix) || name.startsWith(newPrefix)))
    try {
      const path = join(folder, name);
      const found = await lstat(path);
      // Another user's is another user's to remove.
      if (!found.isDirectory() || found.uid !== process.getuid?.()) continue;
      if (name.startsWith(newPrefix)) {
        if (Date.now() - found.ctimeMs < newMs) continue;
        await rmdir(path);
      } else {
        if (await isLive(path, socketName)) continue;
        await rm(path, { recursive: true, force: true });
      }
      cleared += 1;
    } catch {
      // Somebody else removes it just now, or it may not be removed, or a new one is in use.
    }
  return cleared;
}

/** Without a wait between the folder and its socket: a process that is killed meanwhile would leave a folder of nobody. */
function makeOwn(): string {
  const made = mkdtempSync(join(tmpdir(), newPrefix));
  ownPath = made;
  process.once("exit", removeOwnTemporary);
  const server = listenAt(made, socketName);
  server.on("error", () => undefined);
  if (!server.listening) {
    // No sockets on this file system: the folder keeps a name that is cleared only while it is empty.
    writeFileSync(join(made, socketName), "");
    return made;
  }
  const path = join(tmpdir(), prefix + basename(made).slice(newPrefix.length));
  renameSync(made, path);
  ownPath = path;
  return path;
}
