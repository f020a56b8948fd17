/** Processes of this machine as Linux shows them in /proc. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Empty for a process that is gone. */
export function childrenOf(pid: number): readonly number[] {
  return processIds().filter((id) => parentOf(id) === pid);
}

export function commandOf(pid: number): readonly string[] {
  return read(`/proc/${pid}/cmdline`).split("\0").slice(0, -1);
}

/** Processes started with the variable in their environment, themselves or by inheritance; a zombie has none. */
export function processesWith(variable: string, value: string): readonly number[] {
  const wanted = `${variable}=${value}`;
  return processIds().filter((pid) => read(`/proc/${pid}/environ`).split("\0").includes(wanted));
}

/** What the process has open, by what it is: "socket", "pipe", "anon_inode:[eventpoll]" or a path. */
export function openFiles(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/^(socket|pipe):.*/, "$1")];
      } catch {
        return []; // Closed since it was listed.
      }
    });
  } catch {
    return [];
  }
}

export function residentBytes(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1];
  return 1024 * Number(kilobytes ?? 0);
}

/** False for a process that is gone already. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

function processIds(): readonly number[] {
  return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

/** The fourth field; the second, the program's name, may hold anything and ends with the last bracket. */
function parentOf(pid: number): number | undefined {
  const fields = /\) \S (\d+) /.exec(read(`/proc/${pid}/stat`));
  return fields === null ? undefined : Number(fields[1]);
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
