import type { ChildProcess } from "node:child_process";
import { once } from "node:events";

/** SIGKILL; resolves when it is gone, and at once where it never was or has ended. */
export async function killChild(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
