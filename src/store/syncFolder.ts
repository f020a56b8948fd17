import { open } from "node:fs/promises";
import { codeOf } from "../job/problem.js";

/**
 * Forces the names in a folder to disk, so that they survive a power cut. False: this file system (CIFS, vboxsf, disks made of
 * buckets) cannot, and nobody can do more.
 */
export async function syncFolder(path: string, sync = systemSync): Promise<boolean> {
  try {
    await sync(path);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (!lacksSync.has(code)) throw error;
    return false;
  }
}

export async function systemSync(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const lacksSync = new Set<unknown>([
  "EINVAL",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EBADF",
  "EISDIR",
]);
