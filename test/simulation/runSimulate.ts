import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { packageRoot } from "../../src/process/toolchain.js";

/** What `npm run simulate` says, compiled and on one thread, also where it ends with code 1. */
export async function runSimulate(args: readonly string[]): Promise<string> {
  const script = join(packageRoot(), "dist/test/simulation/simulate.js");
  const all = [script, "--threads", "1", ...args];
  const options = { maxBuffer: 64 * 2 ** 20 };
  const { stdout } = await promisify(execFile)(process.execPath, all, options).catch(
    (error: unknown) => {
      if (error instanceof Error && "stdout" in error) return { stdout: String(error.stdout) };
      throw error;
    },
  );
  return stdout;
}
