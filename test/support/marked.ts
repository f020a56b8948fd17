import { randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";

/** A variable that every process inherits which is started with it, so that all of them can be found. */
export class Mark {
  readonly environment = { BITFLEET_TEST_MARK: randomUUID() };

  /** The processes that have the mark, with their command lines; not those that have ended and wait for their parent. */
  async found(): Promise<ReadonlyMap<number, string>> {
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    const found = new Map<number, string>();
    for (const pid of pids) {
      const read = (file: string): Promise<string> =>
        readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
      if (!(await read("environ")).includes(this.environment.BITFLEET_TEST_MARK)) continue;
      found.set(Number(pid), (await read("cmdline")).replaceAll("\0", " "));
    }
    return found;
  }

  async kill(): Promise<void> {
    for (const pid of (await this.found()).keys())
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended meanwhile.
      }
  }
}
