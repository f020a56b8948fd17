/** `bitfleet cancel JOB`: a job stops, and can be resumed. */
import type { Command } from "commander";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { progressLine } from "./progress.js";

interface ChangeFlags extends ConnectionFlags {
  readonly json?: boolean;
}

export function addCancel(program: Command, context: Context): void {
  const command = program
    .command("cancel")
    .description("stop a job; a checkpoint of its last step is kept")
    .argument("<job>", "name of the job")
    .option("--json", "print JSON");
  withConnection(command).action(async (job: string, flags: ChangeFlags) => {
    const status = await withClient(flags, context.variables, (client) => client.cancel(job));
    if (flags.json === true) printJson(context, status);
    else context.terminal.out(`${status.name}: ${progressLine(status)}`);
  });
}
