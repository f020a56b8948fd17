// Runs other programs, quietly: what they print is shown only when they fail.

import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Something that a person can mend: shown as it is, without a stack trace. */
export class SetupError extends Error {
  name = "SetupError";
}

/** The file that a name on the PATH stands for, or undefined. */
export function findOnPath(name, path = process.env.PATH ?? "") {
  for (const folder of path.split(delimiter).filter((part) => part !== "")) {
    const file = join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not here: look in the next folder.
    }
  }
  return undefined;
}

/** Runs a program to its end; never throws. `stdio: "inherit"` shows its output as it comes. */
export function run(program, args, { cwd, env, stdio = "pipe" } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, env, stdio: ["ignore", stdio, stdio] });
    const stop = () => child.kill("SIGTERM");
    process.once("exit", stop);
    let output = "";
    child.stdout?.setEncoding("utf8").on("data", (text) => (output += text));
    child.stderr?.setEncoding("utf8").on("data", (text) => (output += text));
    const finish = (code, text) => {
      process.off("exit", stop);
      resolve({ code, output: text });
    };
    child.once("error", (error) => finish(127, error.message));
    child.once("close", (code, signal) =>
      finish(code ?? 1, signal ? `${output}${signal}` : output),
    );
  });
}

/** Runs a program that has to succeed, or says what did not, with what it printed at its two ends. */
export async function mustRun(what, program, args, options) {
  const { code, output } = await run(program, args, options);
  if (code === 0) return output;
  if (output.trim() === "") throw new SetupError(`${what} failed (exit code ${code}).`);
  const all = output.trimEnd().split("\n");
  const lines = all.length <= 20 ? all : [...all.slice(0, 5), "...", ...all.slice(-14)];
  throw new SetupError([`${what} failed (exit code ${code}):`, ...lines].join("\n  "));
}
