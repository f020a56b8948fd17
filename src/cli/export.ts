/** `bitfleet export JOB --out FILE`: the weights of a finished job as an npz with BiT's names. */
import type { Command } from "commander";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { orInterrupted, printJson, type Context } from "./context.js";
import { checkTilde } from "./fromHere.js";
import { bytes } from "./text.js";

interface ExportFlags extends ConnectionFlags {
  readonly out: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

export function addExport(program: Command, context: Context): void {
  const command = program
    .command("export")
    .description("write a finished job's weights to a file")
    .argument("<job>", "name of the job")
    .requiredOption("--out <FILE>", "npz file to write, NAME.npz; it appears whole or not at all")
    .option("--force", "replace a file of that name")
    .option("--json", "print JSON");
  withConnection(command).action((job: string, flags: ExportFlags) =>
    withClient(flags, context.variables, async (client) => {
      const { terminal, signal } = context;
      const onProgress = (done: number, total: number): void =>
        terminal.live(`${bytes(done)} of ${bytes(total)}`);
      const { out, force = false } = flags;
      checkTilde(out, "--out");
      const size = await orInterrupted(
        client.exportWeights(job, out, { signal, onProgress, force }),
        signal,
        "nothing was written",
      );
      const { parameterDigest } = await client.job(job);
      terminal.clearLive();
      if (flags.json === true) {
        printJson(context, { file: flags.out, bytes: size, parameterDigest });
      } else {
        terminal.out(`wrote ${flags.out}, ${bytes(size)}, parameters ${parameterDigest}`);
      }
    }),
  );
}
