/** Changes the file of hashed tokens: one change at a time, and the coordinator sees it before or after. */
import { open, readFile, realpath, rm, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, FailureError } from "../job/problem.js";
import { parseTokens, writeTokens, type TokenEntry } from "../process/tokensFile.js";
import { replaceFiles } from "./replaceFiles.js";

const waitMs = 50;
const triesMax = 60;

/** ConfigError: the file cannot be read, or holds something else. */
export async function readTokens(file: string): Promise<readonly TokenEntry[]> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw new ConfigError(`cannot read ${file}: ${reason(error)}`);
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
  const lock = await takeLock(`${target}.lock`);
  try {
    const text = writeTokens(edit((await isThere(target)) ? await readTokens(file) : []));
    // Whoever reads it next accepts it: not too many.
    parseTokens(text, file);
    await replaceFiles(new Map([[target, text]])).catch((error: unknown) => {
      throw new FailureError(`cannot write ${file}: ${reason(error)}`, { cause: error });
    });
  } finally {
    await rm(lock, { force: true });
  }
}

async function takeLock(lock: string): Promise<string> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    try {
      await (await open(lock, "wx", 0o600)).close();
      return lock;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST"))
        throw new FailureError(`cannot write ${lock}: ${reason(error)}`, { cause: error });
      await sleep(waitMs);
    }
  }
  throw new FailureError(`${lock} is there: another change is under way; delete it if none is`);
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error: unknown) => !(error instanceof Error && "code" in error && error.code === "ENOENT"),
  );
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
