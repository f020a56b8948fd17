/** `bitfleet evaluate JOB`: how many validation examples a finished job gets right. */
import type { Command } from "commander";
import { FailureError } from "../job/problem.js";
import { shell } from "../job/shell.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { placeFromHere } from "./submit.js";
import { share, short } from "./text.js";
import { watchJob } from "./watching.js";

interface EvaluateFlags extends ConnectionFlags {
  readonly validation?: string;
  readonly json?: boolean;
}

export function addEvaluate(program: Command, context: Context): void {
  const command = program
    .command("evaluate")
    .description("evaluate a finished job's weights; this is a job of its own, of no steps")
    .argument("<job>", "name of the job")
    .option("--validation <FOLDER>", "other pictures of the same classes, as the workers see them")
    .option("--json", "print JSON");
  withConnection(command).action((job: string, flags: EvaluateFlags) =>
    withClient(flags, context.variables, async (client) => {
      const { validation } = flags;
      const folder =
        validation === undefined ? undefined : placeFromHere(validation, "--validation");
      const { name } = await client.evaluate(job, folder);
      const last = await watchJob(client, name, context, { showResult: false });
      if (last === undefined) {
        context.terminal.note(shell`give it up: bitfleet cancel ${name}`);
        return;
      }
      const result = last.evaluations.at(-1);
      if (result === undefined) {
        throw new FailureError(`${name} ended ${last.state} without a result: ${last.reason}`);
      }
      const { correct, total, loss } = result;
      if (flags.json === true) printJson(context, { job, evaluation: name, correct, total, loss });
      else {
        context.terminal.out(`${share(correct, total)} correct, loss ${short(loss)}`);
        context.terminal.note(shell`kept as job ${name}; bitfleet remove ${name} takes it away`);
      }
    }),
  );
}
