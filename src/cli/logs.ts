/** `bitfleet logs JOB`: a job's log, also long after its workers have gone. */
import type { Command } from "commander";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import type { Context } from "./context.js";
import { logText } from "./readableLog.js";
import { json } from "./text.js";
import { wholeNumber } from "./wholeNumber.js";

interface LogFlags extends ConnectionFlags {
  readonly follow?: boolean;
  readonly after: number;
  readonly json?: boolean;
}

export function addLogs(program: Command, context: Context): void {
  const command = program
    .command("logs")
    .description("print the log of a job")
    .argument("<job>", "name of the job")
    .option("-f, --follow", "go on until the job has ended; Ctrl-C stops reading")
    .option(
      "--after <SEQUENCE>",
      "only lines after this one",
      wholeNumber("--after", 0, 0x7fffffff),
      0,
    )
    .option("--json", "print a JSON object per line");
  withConnection(command).action((job: string, flags: LogFlags) =>
    withClient(flags, context.variables, async (client) => {
      const { terminal, signal } = context;
      const { after, follow = false } = flags;
      for await (const line of client.logs(job, { afterSequence: after, follow, signal })) {
        terminal.out(flags.json === true ? json(line) : logText(line, terminal));
      }
    }),
  );
}
