/** `bitfleet worker --join HOST:PORT`: one worker, in the foreground. */
import type { Command } from "commander";
import type { Context } from "./context.js";
import { partEnvironment, withFlags, type PartFlags } from "./partFlags.js";
import { runPart } from "./runPart.js";

export function addWorker(program: Command, context: Context): void {
  const command = program
    .command("worker")
    .description("start a worker in the foreground; flags win over the variables named");
  withFlags(command, "worker").action((flags: PartFlags) =>
    runPart("worker", partEnvironment(context.variables, flags), context),
  );
}
