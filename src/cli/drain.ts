/** `bitfleet drain WORKER`: a worker finishes or hands over what it does, and ends. */
import type { Command } from "commander";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";

export function addDrain(program: Command, context: Context): void {
  const command = program
    .command("drain")
    .description("have a worker finish or hand over what it does, and end")
    .argument("<worker>", "id of the worker, as `workers` shows it")
    .option("--json", "print JSON");
  withConnection(command).action(
    async (id: string, flags: ConnectionFlags & { readonly json?: boolean }) => {
      const worker = await withClient(flags, context.variables, (client) => client.drain(id));
      if (flags.json === true) printJson(context, worker);
      else context.terminal.out(`${worker.id} is ${worker.state}`);
    },
  );
}
