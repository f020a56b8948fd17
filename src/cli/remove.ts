/** `bitfleet remove JOB...`: jobs that have ended, with all that the fleet keeps of them. */
import { plural } from "../job/plural.js";
import type { Command } from "commander";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";

interface RemoveFlags extends ConnectionFlags {
  readonly keepWeights?: boolean;
  readonly json?: boolean;
}

export function addRemoveJobs(program: Command, context: Context): void {
  const command = program
    .command("remove")
    .description(
      "remove jobs that have ended: record, log, checkpoints and weights; the name is free again",
    )
    .summary("remove jobs that have ended")
    .argument("<job...>", "names of the jobs")
    .option("--keep-weights", "leave the weights in the store, as jobs/JOB/weights.npz")
    .option("--json", "print JSON");
  withConnection(command).action((jobs: readonly string[], flags: RemoveFlags) =>
    withClient(flags, context.variables, async (client) => {
      context.terminal.outliveReader();
      const keepWeights = flags.keepWeights === true;
      const removed: { readonly name: string; readonly files: number }[] = [];
      try {
        for (const name of jobs) {
          const files = await client.removeJob(name, { keepWeights });
          removed.push({ name, files });
          if (flags.json !== true)
            context.terminal.out(`removed ${name}, ${plural(files, "file")}`);
        }
      } finally {
        // Also where one is refused: those before it are gone.
        if (flags.json === true) printJson(context, removed);
      }
    }),
  );
}
