/** `bitfleet worker --join HOST:PORT`: one worker, in the foreground. */
import type { Command } from "commander";
import type { Context } from "./context.js";
import { defaultKeepStateSeconds } from "../process/environment.js";
import { partEnvironment, withTlsFlags, type PartFlags } from "./partFlags.js";
import { runPart } from "./runPart.js";

export function addWorker(program: Command, context: Context): void {
  const command = program
    .command("worker")
    .description("start a worker in the foreground; flags win over the variables named")
    .option("--join <HOST:PORT>", "the coordinator (BITFLEET_JOIN)")
    .option("--token-file <FILE>", "file with the fleet's token (BITFLEET_TOKEN_FILE)");
  withTlsFlags(command)
    .option("--id <NAME>", "name of this worker in the fleet (BITFLEET_WORKER_ID)")
    .option(
      "--store <PLACE>",
      "the fleet's store, where this machine sees its folder elsewhere (BITFLEET_STORE)",
    )
    .option(
      "--keep-state <SECONDS>",
      `without a coordinator a job's state is kept for so long, then the worker ends; ${defaultKeepStateSeconds} by default (BITFLEET_KEEP_STATE)`,
    )
    .option(
      "--grace <SECONDS>",
      "told to stop, it has so long to finish or hand over, 30 by default (BITFLEET_GRACE_SECONDS)",
    )
    .option("--home <FOLDER>", "state folder, ~/.bitfleet by default (BITFLEET_HOME)")
    .action((flags: PartFlags) =>
      runPart("worker", partEnvironment(context.variables, flags), context),
    );
}
