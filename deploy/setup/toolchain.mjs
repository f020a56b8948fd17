// The folder of what is not an npm package, shared by every clone of one user. Things come into it
// whole: made under a temporary name, then renamed. So an interrupted set-up leaves nothing that a
// later one could take for finished, and a folder that is there needs no further check.

import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir, hostname } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SetupError } from "./command.mjs";

const temporaryPrefix = ".part-";
const beatMs = 2_000;
const deadMs = 60_000;

export function toolchainFolder(env) {
  return resolve(env.BITFLEET_TOOLCHAIN || join(userHome(), ".cache", "bitfleet"));
}

function userHome() {
  try {
    return homedir();
  } catch {
    throw new SetupError(
      "This user has no home folder (HOME is not set, and the system knows none): BITFLEET_TOOLCHAIN must name a folder for what the set-up makes.",
    );
  }
}

/** A name beside `path` for what is to become it. */
export function partOf(path) {
  return join(dirname(path), `${temporaryPrefix}${process.pid}-${basename(path)}`);
}

/** Removes a folder so that no half of it can be taken for the whole. */
export function removeFolder(folder) {
  const part = `${partOf(folder)}-gone`;
  renameSync(folder, part);
  rmSync(part, { recursive: true });
}

/** Makes the folder `target` with what `fill(folder)` puts into it, or not at all. */
export async function installFolder(target, fill) {
  const part = partOf(target);
  mkdirSync(part, { recursive: true });
  try {
    await fill(part);
    renameSync(part, target);
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

/** Writes a file under a temporary name and renames it, so that no reader sees half of it. */
export function writeWhole(file, content, options) {
  mkdirSync(dirname(file), { recursive: true });
  const part = partOf(file);
  writeFileSync(part, content, options);
  renameSync(part, file);
}

/** Points the symbolic link `path` at `target`, in one move. */
export function pointLink(path, target) {
  mkdirSync(dirname(path), { recursive: true });
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) rmSync(path, { recursive: true });
  const part = partOf(path);
  rmSync(part, { force: true });
  symlinkSync(target, part);
  renameSync(part, path);
}

export function linkTarget(path) {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()
    ? readlinkSync(path)
    : undefined;
}

export function readText(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

/**
 * Runs `work` while no other set-up of this user does. Who holds the lock renews it; one whose
 * process is gone, or that was not renewed for a minute (another host's), is taken over.
 */
export async function withLock(folder, say, work) {
  mkdirSync(folder, { recursive: true });
  const lock = join(folder, "setup.lock");
  const own = `${hostname()} ${process.pid}`;
  let told = false;
  while (!take(lock, own)) {
    if (isAbandoned(lock)) {
      rmSync(lock, { force: true });
      continue;
    }
    if (!told) say(`waiting for another set-up (${readText(lock) ?? "just ending"})`);
    told = true;
    await sleep(300);
  }
  const beat = setInterval(() => utimesSync(lock, new Date(), new Date()), beatMs);
  const release = () => {
    clearInterval(beat);
    if (readText(lock) === own) rmSync(lock, { force: true });
  };
  process.once("exit", release);
  try {
    clearParts(folder);
    return await work();
  } finally {
    process.off("exit", release);
    release();
  }
}

function take(lock, own) {
  try {
    writeFileSync(lock, own, { flag: "wx" });
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
}

function isAbandoned(lock) {
  const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  if (age > deadMs) return true;
  const [host, pid] = (readText(lock) ?? "").split(" ");
  if (host !== hostname() || pid === undefined) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

/** Removes what interrupted set-ups left; only the holder of the lock may. */
function clearParts(toolchain) {
  for (const folder of [toolchain, join(toolchain, "downloads")].filter((path) =>
    existsSync(path),
  )) {
    for (const name of readdirSync(folder)) {
      if (name.startsWith(temporaryPrefix)) rmSync(join(folder, name), { recursive: true });
    }
  }
}

const folderProblems = {
  EACCES: "permission denied",
  EPERM: "it is not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the quota is used up",
  ENOTDIR: "a part of the path is no folder",
  EEXIST: "a file of that name is in the way",
};

/** One sentence where a folder of the set-up cannot be made or written, else undefined. */
export function folderProblem({ code, path }) {
  if (path === undefined || !Object.hasOwn(folderProblems, code ?? "")) return undefined;
  return `The set-up cannot write ${path}: ${folderProblems[code]}. BITFLEET_TOOLCHAIN may name another folder for what clones share.`;
}
