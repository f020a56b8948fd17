import { execFileSync } from "node:child_process";

/** The variables that a shell working in `folder` has set after `. FILE`. */
export function sourced(file: string, folder: string): Readonly<Record<string, string>> {
  const shell = {
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "" },
    encoding: "utf8",
  } as const;
  const text = execFileSync("bash", ["--norc", "-c", `. "$1" && exec env -0`, "sh", file], shell);
  const pairs = text
    .split("\0")
    .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)] as const);
  return Object.fromEntries(pairs.filter(([name]) => /^(BITFLEET|NATS)_/.test(name)));
}
