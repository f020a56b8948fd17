import { rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { codeOf } from "../job/problem.js";
import { openPlain } from "./plainFile.js";
import { hasDeadWriter, putName } from "./unfinishedPut.js";

/** So many processes killed at the same name and moment are not to be expected. */
const claimsMax = 100;
const nameBytesMax = 255;

/**
 * Runs `work` while nobody else has the claim to `path`; undefined where another has it. For file systems without hard links:
 * a claim is a file that only one can make (O_EXCL). That of a killed process is never removed, since two that both did so
 * could remove a new one: the next claim in number counts instead.
 */
export async function withClaim<T>(
  path: string,
  unique: string,
  work: () => Promise<T>,
): Promise<T | undefined> {
  for (let i = 0; i < claimsMax; i += 1) {
    const claim = join(dirname(path), `.claim-${basename(path)}-${i}`);
    if (!(await make(claim, putName(unique)))) {
      const writer = await writerOf(claim).catch(() => undefined);
      // It was given back a moment ago, or its process lives, or may live.
      if (writer === undefined || !(await hasDeadWriter(writer, claim))) return undefined;
      continue;
    }
    try {
      return await work();
    } finally {
      await rm(claim, { force: true });
    }
  }
  return undefined;
}

async function writerOf(claim: string): Promise<string> {
  const file = await openPlain(dirname(claim), claim);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(nameBytesMax), 0, nameBytesMax, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file.close();
  }
}

async function make(claim: string, content: string): Promise<boolean> {
  try {
    await writeFile(claim, content, { flag: "wx", mode: 0o644 });
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}
