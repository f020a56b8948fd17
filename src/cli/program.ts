/** The `bitfleet` command: every subcommand, and how what goes wrong becomes an exit code. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CommanderError } from "commander";
import { ConfigError, FailureError } from "../job/problem.js";
import { nobodyListens, UnreachableError } from "../link/status.js";
import { packageRoot } from "../process/toolchain.js";
import { addCancel } from "./cancel.js";
import { SpokenCommand } from "./command.js";
import type { Context } from "./context.js";
import { addCoordinator } from "./coordinator.js";
import { addData } from "./data.js";
import { addDoctor } from "./doctor.js";
import { addDrain } from "./drain.js";
import { addEvaluate } from "./evaluate.js";
import { addExport } from "./export.js";
import { addInit } from "./init.js";
import { addJobs } from "./jobs.js";
import { addLogs } from "./logs.js";
import { addPredict } from "./predict.js";
import { addRemoveJobs } from "./remove.js";
import { addResume } from "./resume.js";
import { addScale } from "./scale.js";
import { addStatus } from "./status.js";
import { addSubmit } from "./submit.js";
import { json, plain } from "./text.js";
import { addToken } from "./token.js";
import { addUp } from "./up.js";
import { addWorker } from "./worker.js";
import { addWorkers } from "./workers.js";

/**
 * Runs one command line, without the program's own name. Returns the exit code: 0 done, 2 wrong use of the command itself.
 * Throws ConfigError (2) and FailureError (1) with a sentence that is safe to print; with --json a note has it, as an object.
 */
export async function runProgram(
  args: readonly string[],
  context: Omit<Context, "setExitCode">,
): Promise<number> {
  let exitCode = 0;
  const program = createProgram({ ...context, setExitCode: (code) => (exitCode = code) });
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    context.terminal.clearLive();
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const problem = spoken(error);
    if (problem === undefined) throw error;
    if (!args.includes("--json")) throw problem;
    exitCode = problem instanceof ConfigError ? 2 : 1;
    context.terminal.note(json({ error: problem.message, exitCode }));
    return exitCode;
  }
}

/** The problem as it is printed; undefined for an error that nobody expected. */
function spoken(error: unknown): ConfigError | FailureError | undefined {
  if (error instanceof ConfigError) return new ConfigError(plain(error.message));
  if (error instanceof UnreachableError) return new FailureError(plain(withAdvice(error.message)));
  return error instanceof FailureError ? new FailureError(plain(error.message)) : undefined;
}

function withAdvice(message: string): string {
  if (!message.startsWith("cannot reach the coordinator")) return message;
  const where = "--coordinator or BITFLEET_COORDINATOR says where it is";
  return message.endsWith(nobodyListens)
    ? `${message}; is "bitfleet up" running? ${where}`
    : `${message}; ${where}`;
}

/** The whole tree of commands, as help and docs have it. */
export function createProgram(context: Context): SpokenCommand {
  const { terminal } = context;
  const program = new SpokenCommand("bitfleet")
    .description("trains BiT image models on a fleet of machines")
    .version(version())
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.note(text.trimEnd()),
      getOutHelpWidth: () => terminal.columns ?? 80,
      getErrHelpWidth: () => terminal.columns ?? 80,
    });
  for (const add of commands) add(program, context);
  return program;
}

const commands = [
  addUp,
  addCoordinator,
  addWorker,
  addSubmit,
  addJobs,
  addStatus,
  addLogs,
  addCancel,
  addResume,
  addRemoveJobs,
  addWorkers,
  addDrain,
  addScale,
  addExport,
  addEvaluate,
  addPredict,
  addInit,
  addToken,
  addData,
  addDoctor,
] as const;

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8"));
  const found =
    typeof manifest === "object" && manifest !== null && "version" in manifest
      ? manifest.version
      : undefined;
  return typeof found === "string" ? found : "unknown";
}
