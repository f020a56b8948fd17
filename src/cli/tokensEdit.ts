/** Changes the file of hashed tokens: one change at a time, and the coordinator sees it before or after. */
import { readFile, realpath, rm, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { takeLock } from "../data/fileLock.js";
import { ConfigError, FailureError, codeOf, reasonOf } from "../job/problem.js";
import { parseTokens, writeTokens, type TokenEntry } from "../process/tokensFile.js";
import { replaceFiles } from "./replaceFiles.js";

const waitMs = 50;
const triesMax = 60;

/** ConfigError: the file cannot be read, or holds something else. */
export async function readTokens(file: string): Promise<readonly TokenEntry[]> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new ConfigError(`cannot read ${file}: ${reasonOf(error)}`);
  });
  return parseTokens(text, file);
}

/** A file that is not there holds no tokens. What `edit` throws changes nothing. */
export async function editTokens(
  file: string,
  edit: (entries: readonly TokenEntry[]) => readonly TokenEntry[],
): Promise<void> {
  // A link stays, and what it leads to changes.
  const target = await realpath(file).catch(() => file);
  const lock = await waitForLock(`${target}.lock`);
  try {
    const text = writeTokens(edit((await isThere(target)) ? await readTokens(file) : []));
    // Whoever reads it next accepts it: not too many.
    parseTokens(text, file);
    await replaceFiles(new Map([[target, text]])).catch((error: unknown) => {
      throw new FailureError(`cannot write ${file}: ${reasonOf(error)}`, { cause: error });
    });
  } finally {
    await rm(lock, { force: true });
  }
}

/** One that somebody left behind is not broken: tokens are edited by hand, and rarely. */
async function waitForLock(lock: string): Promise<string> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const taken = await takeLock(lock).catch((error: unknown) => {
      throw new FailureError(`cannot write ${lock}: ${reasonOf(error)}`, { cause: error });
    });
    if (taken) return lock;
    await sleep(waitMs);
  }
  throw new FailureError(`${lock} is there: another change is under way; delete it if none is`);
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: unknown) => codeOf(error) !== "ENOENT",
  );
}
