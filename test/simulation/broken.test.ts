import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/process/toolchain.js";
import { brokenCopies } from "./broken/copies.js";

test("every broken copy of the code is seen by the simulation", async () => {
  const script = join(packageRoot(), "dist/test/simulation/simulate.js");
  const args = [script, "--broken", "--seeds", "40", "--threads", "1"];
  const { stdout } = await promisify(execFile)(process.execPath, args).catch((error: unknown) => {
    // It ends with code 1 where one is not seen; what it says is what matters.
    if (error instanceof Error && "stdout" in error) return { stdout: String(error.stdout) };
    throw error;
  });
  expect(stdout).not.toContain("NOT SEEN");
  expect(stdout).toContain(
    `${brokenCopies.length} of ${brokenCopies.length} broken copies are seen`,
  );
}, 300_000);
