/** `bitfleet resume JOB`: a cancelled or failed job goes on. */
import type { Command } from "commander";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { progressLine } from "./progress.js";

interface ChangeFlags extends ConnectionFlags {
  readonly json?: boolean;
}

export function addResume(program: Command, context: Context): void {
  const command = program
    .command("resume")
    .description("queue a cancelled or failed job again; it goes on from its checkpoint")
    .argument("<job>", "name of the job")
    .option("--json", "print JSON");
  withConnection(command).action(async (job: string, flags: ChangeFlags) => {
    const status = await withClient(flags, context.variables, (client) => client.resume(job));
    if (flags.json === true) printJson(context, status);
    else context.terminal.out(`${status.name}: ${progressLine(status)}`);
  });
}
