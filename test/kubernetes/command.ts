import { spawn } from "node:child_process";

export interface Ended {
  readonly code: number;
  readonly output: string;
}

const commandMs = 120_000;

/** Runs a program to its end; what it printed on both streams is the output. Never throws. */
export function runCommand(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: commandMs,
      killSignal: "SIGKILL",
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.once("error", (error) => resolve({ code: 127, output: error.message }));
    child.once("close", (code) => resolve({ code: code ?? 137, output }));
  });
}

/** The output of a command that has to succeed. */
export async function mustEnd(ended: Promise<Ended>): Promise<string> {
  const { code, output } = await ended;
  if (code !== 0) throw new Error(`ended with ${code}: ${output}`);
  return output;
}
