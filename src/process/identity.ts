/** Which process this is, so that another one on the same machine can tell for certain that it has ended. */
import { readFileSync, readlinkSync } from "node:fs";
import { codeOf } from "../job/problem.js";

const unknown = "";
/** The start of a process of which only its exit code is left. */
const gone = "";

/** Where a process id means one process: a boot of a machine and a container on it; empty where that cannot be told. */
export const processNamespace: string = readNamespace();

/** This process, and no later one with the same id; empty where that cannot be told. */
export function ownIdentity(): string {
  const startedAt = startOf(process.pid);
  if (processNamespace === unknown || startedAt === undefined) return unknown;
  return `${processNamespace}/${process.pid}/${startedAt}`;
}

/** Whether the process with this identity was one of this machine and has ended. False where that cannot be told. */
export function hasEnded(identity: string, proc = "/proc"): boolean {
  const [namespace, pid, startedAt] = identity.split("/");
  if (namespace === undefined || namespace === unknown || namespace !== processNamespace)
    return false;
  if (!/^\d+$/.test(pid ?? "")) return false;
  const found = startOf(Number(pid), proc);
  return found === undefined ? !isThere(Number(pid)) : found !== startedAt;
}

/** Whether there is a process of that id; /proc may be told to hide those of others (hidepid). */
function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH";
  }
}

/** When the process began, in the kernel's ticks, "" where only its exit code is left; undefined where none is to be seen. */
function startOf(pid: number, proc = "/proc"): string | undefined {
  try {
    const stat = readFileSync(`${proc}/${pid}/stat`, "utf8");
    // Behind the name, which may hold anything: the state is the first field and the start the twentieth.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? gone : fields[19];
  } catch {
    return undefined;
  }
}

function readNamespace(): string {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
    const namespace = readlinkSync("/proc/self/ns/pid");
    return `${boot}${namespace}`.replace(/[^0-9a-z]/g, "");
  } catch {
    return unknown;
  }
}
