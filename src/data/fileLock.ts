import { randomUUID } from "node:crypto";
import { open, rename, rm, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf } from "../job/problem.js";

export interface LockTimes {
  /** A waiting caller gives up after this. */
  readonly patienceMs: number;
  /** A lock that was taken so long ago is a killed process's. */
  readonly staleMs: number;
}

const againMs = 10;

/**
 * Runs `work` while no other process that asks for this lock does. It is a file, since whoever shares a folder may share
 * nothing else. Undefined: the lock was not to be had in time, and nothing was done.
 */
export async function withFileLock<T>(
  path: string,
  { patienceMs, staleMs }: LockTimes,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const endsAtMs = performance.now() + patienceMs;
  while (!(await takeLock(path))) {
    await breakStale(path, staleMs);
    if (performance.now() > endsAtMs) return undefined;
    await sleep(againMs);
  }
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

/** Whether the lock was free and is now ours, until the file is removed. */
export async function takeLock(path: string): Promise<boolean> {
  try {
    await (await open(path, "wx", 0o600)).close();
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** Renamed first, so that of several that find it stale one removes it. */
async function breakStale(path: string, staleMs: number): Promise<void> {
  try {
    if (Date.now() - (await stat(path)).mtimeMs < staleMs) return;
    const broken = `${path}-${randomUUID()}`;
    await rename(path, broken);
    await rm(broken, { force: true });
  } catch {
    // It was given back a moment ago.
  }
}
