/** Temporary files of a process that runs TensorFlow: they end with it, however it ends. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder, removed when this process exits. One that is killed leaves it to its parent. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), prefix(process.pid)));
  process.once("exit", () => removeScratch(process.pid));
  return folder;
}

/** Removes what the process has left; it must have ended. */
export function removeScratch(pid: number): void {
  const folder = tmpdir();
  try {
    const left = readdirSync(folder).filter((name) => name.startsWith(prefix(pid)));
    for (const name of left) rmSync(join(folder, name), { recursive: true, force: true });
  } catch {
    // Not ours to read or to remove: nothing of ours is there.
  }
}

function prefix(pid: number): string {
  return `bitfleet-${pid}-`;
}
