import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { codeOf } from "../job/problem.js";
import { processNamespace } from "../process/identity.js";

/**
 * Names of files that are being written. They tell whether their writer still lives: by its process
 * id where boot and process namespace are ours, elsewhere by how long nothing was written.
 */

/** A live put writes all the time. Another machine's clock may be off by a good part of this. */
const silentMsMax = 60 * 60 * 1000;

const pattern = /^\.put-([0-9a-z]+)-(\d+)-[0-9a-f-]+$/;
const unknown = "0";
const here = processNamespace === "" ? unknown : processNamespace;

export function putName(unique: string): string {
  return `.put-${here}-${process.pid}-${unique}`;
}

/** False for any file that is not such a one. */
export async function isDeadPut(path: string): Promise<boolean> {
  const name = basename(path);
  return pattern.test(name) && (await hasDeadWriter(name, path));
}

/** `name` is one that `putName` gave the writer of the file; of any other only the time counts. */
export async function hasDeadWriter(name: string, path: string): Promise<boolean> {
  const [, namespace, pid] = pattern.exec(name) ?? [];
  if (namespace === here && here !== unknown && !isAlive(Number(pid))) return true;
  try {
    return Date.now() - (await stat(path)).mtimeMs > silentMsMax;
  } catch {
    return false; // It was renamed or removed a moment ago.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}
