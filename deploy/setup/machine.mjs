// Looks at the machine: what it is, and which tools it has.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { findOnPath, run, SetupError } from "./command.mjs";
import { cpuProblem, machineProblem, missingToolsMessage } from "./decisions.mjs";

export function describeMachine() {
  if (process.report) process.report.excludeNetwork = true;
  return {
    platform: process.platform,
    arch: process.arch,
    glibc: process.report?.getReport().header.glibcVersionRuntime,
    cpuInfo: existsSync("/proc/cpuinfo") ? readFileSync("/proc/cpuinfo", "utf8") : "",
  };
}

/** Refuses a machine that TensorFlow has no build for; `given`: it brings its own. */
export function checkMachine(machine, given = false) {
  const problem = machineProblem(machine) ?? (given ? undefined : cpuProblem(machine));
  if (problem !== undefined) throw new SetupError(problem);
}

export const compilers = ["g++", "c++", "clang++"];

const checks = {
  npm: async () => findOnPath("npm") !== undefined,
  compiler: async () => compilers.some((name) => findOnPath(name) !== undefined),
  python: async () => findOnPath("python3") !== undefined,
  pip: async () => (await run("python3", ["-m", "pip", "--version"])).code === 0,
};

const known = new Set();

/** Names everything at once that is missing of `tools`, with the command that installs it. */
export async function checkTools(tools) {
  const missing = [];
  for (const tool of new Set(tools)) {
    if (known.has(tool) || (await checks[tool]())) known.add(tool);
    else missing.push(tool);
  }
  if (missing.length === 0) return;
  const manager = ["apt", "dnf", "zypper", "pacman"].find((name) => findOnPath(name) !== undefined);
  throw new SetupError(missingToolsMessage(missing, manager, process.getuid?.() === 0));
}

/** Whether there is an NVIDIA GPU here. Asks the driver's tool only where the device file is absent. */
export function gpuFound() {
  if (existsSync("/dev/nvidia0")) return true;
  const tool = findOnPath("nvidia-smi");
  if (tool === undefined) return false;
  const { status, stdout } = spawnSync(tool, ["-L"], { encoding: "utf8", timeout: 10_000 });
  return status === 0 && stdout.includes("GPU ");
}
