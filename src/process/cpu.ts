/** What TensorFlow's builds ask of the CPU. */
import { readFileSync } from "node:fs";

export const withoutAvx =
  "this CPU has no AVX instructions, which TensorFlow's builds use: its process would be ended by SIGILL; " +
  "use another machine, or a TensorFlow that was built without them (BITFLEET_TENSORFLOW at the set-up)";

/** A sentence where the CPU lacks what TensorFlow needs; undefined where it does not, or where that cannot be told. */
export function cpuProblem(
  arch: string = process.arch,
  info: string = cpuInfo(),
): string | undefined {
  if (arch !== "x64") return undefined;
  const flags = /^flags\s*:(.*)$/m.exec(info)?.[1]?.trim().split(/\s+/);
  return flags === undefined || flags.includes("avx") ? undefined : withoutAvx;
}

function cpuInfo(): string {
  try {
    return readFileSync("/proc/cpuinfo", "utf8");
  } catch {
    return "";
  }
}
