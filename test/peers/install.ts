import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

import { FailureError } from "../../src/job/problem.js";

const partPrefix = ".peers-";

/**
 * The folder with NumPy, PyTorch and timm, installed on the first call. Its name tells the list of
 * packages and the Python, so a change of either installs anew; it is made whole or not at all.
 */
export function installPeers(sources: string): string {
  const requirements = join(sources, "requirements.txt");
  const python = mustRun("Python", ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
  const digest = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 12);
  const toolchain = process.env["BITFLEET_TOOLCHAIN"] ?? join(homedir(), ".cache", "bitfleet");
  const folder = join(toolchain, `peers-python${python.trim()}-${digest}`);
  if (existsSync(folder)) return folder;

  console.log(`installing NumPy, PyTorch and timm into ${folder} (about 600 MB, once)`);
  mkdirSync(toolchain, { recursive: true });
  removeLeftovers(toolchain);
  const part = mkdtempSync(join(toolchain, partPrefix));
  try {
    const options = ["--quiet", "--no-deps", "--no-cache-dir", "--only-binary=:all:"];
    mustRun("pip", ["-m", "pip", "install", ...options, "--target", part, "-r", requirements]);
    mustRun("standIns.py", [join(sources, "standIns.py"), join(part, "torch", "lib")]);
    renameSync(part, folder);
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
  return folder;
}

/** What an interrupted installation left. No running one is that old. */
function removeLeftovers(toolchain: string): void {
  const anHourAgo = Date.now() - 3_600_000;
  for (const name of readdirSync(toolchain)) {
    const path = join(toolchain, name);
    if (name.startsWith(partPrefix) && statSync(path).mtimeMs < anHourAgo) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}

function mustRun(what: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync("python3", args, {
    encoding: "utf8",
    env: { ...process.env, PIP_REQUIRE_VIRTUALENV: "0", PIP_USER: "0" },
  });
  if (status === 0) return stdout;
  const why = error?.message ?? stderr.trim().split("\n").slice(-5).join("\n  ");
  throw new FailureError(`${what} failed:\n  ${why}`);
}
