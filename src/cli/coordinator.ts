/** `bitfleet coordinator`: one coordinator, in the foreground. */
import type { Command } from "commander";
import type { Context } from "./context.js";
import { partEnvironment, withFlags, type PartFlags } from "./partFlags.js";
import { runPart } from "./runPart.js";

export function addCoordinator(program: Command, context: Context): void {
  const command = program
    .command("coordinator")
    .description("start a coordinator in the foreground; flags win over the variables named");
  withFlags(command, "coordinator").action((flags: PartFlags) =>
    runPart("coordinator", partEnvironment(context.variables, flags), context),
  );
}
