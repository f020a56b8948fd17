/** The `bitfleet` command: every subcommand, and how what goes wrong becomes an exit code. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { ConfigError, FailureError } from "../job/problem.js";
import { UnreachableError } from "../link/status.js";
import { packageRoot } from "../process/toolchain.js";
import { addCancel } from "./cancel.js";
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
import { plain } from "./text.js";
import { addToken } from "./token.js";
import { addUp } from "./up.js";
import { addWorker } from "./worker.js";
import { addWorkers } from "./workers.js";

/**
 * Runs one command line, without the program's own name. Returns the exit code: 0 done, 2 wrong use of the command itself.
 * Throws ConfigError (2) and FailureError (1) with a sentence that is safe to print.
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
    if (error instanceof ConfigError) throw new ConfigError(plain(error.message));
    if (error instanceof UnreachableError) throw new FailureError(plain(withAdvice(error.message)));
    if (error instanceof FailureError) throw new FailureError(plain(error.message));
    throw error;
  }
}

function withAdvice(message: string): string {
  if (!message.startsWith("cannot reach the coordinator")) return message;
  return `${message}; is "bitfleet up" running there? --coordinator or BITFLEET_COORDINATOR says where it is`;
}

/** The whole tree of commands, as help and docs have it. */
export function createProgram(context: Context): Command {
  const { terminal } = context;
  const program = new Command("bitfleet")
    .description("trains BiT image models on a fleet of machines")
    .version(version())
    .exitOverride()
    .showHelpAfterError("--help says more")
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.note(text.trimEnd()),
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
