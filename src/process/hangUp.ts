/**
 * Whether SIGHUP, which a closing terminal sends, is to be ignored. Whoever starts a command by nohup or after `trap '' HUP` wants
 * that; but Node takes the ignoring back before any code of ours runs, so it has to be told by what is left of it.
 */
import { readFileSync } from "node:fs";
import { isatty } from "node:tty";

import { hasStarter } from "./starterGone.js";

const standardStreams = [0, 1, 2] as const;

/**
 * True for a process that another of ours has started, as that one acts on it; where no standard stream is a terminal, as nohup
 * leaves it, since then nothing of ours goes with one; and where the process that started this one ignores it.
 */
export function isHangUpIgnored(): boolean {
  if (hasStarter()) return true;
  return !standardStreams.some((fd) => isatty(fd)) || ignoresHangUp(statusOf(process.ppid));
}

/** Whether /proc/PID/status tells of a process that ignores SIGHUP. */
export function ignoresHangUp(status: string): boolean {
  const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return ignored !== undefined && (BigInt(`0x${ignored}`) & 1n) === 1n;
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return "";
  }
}
