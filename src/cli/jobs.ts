/** `bitfleet jobs`: every job of the fleet, a line each. */
import type { Command } from "commander";
import type { JobStatus } from "../wire/training.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { clock, duration, share, short, table } from "./text.js";

export function addJobs(program: Command, context: Context): void {
  const command = program.command("jobs").description("list the jobs of the fleet, oldest first");
  command.option("--json", "print JSON");
  withConnection(command).action(async (flags: ConnectionFlags & { readonly json?: boolean }) => {
    const jobs = await withClient(flags, context.variables, (client) => client.jobs());
    if (flags.json === true) printJson(context, jobs);
    else for (const line of jobLines(jobs)) context.terminal.out(line);
  });
}

export function jobLines(jobs: readonly JobStatus[]): readonly string[] {
  if (jobs.length === 0) return ["no jobs yet; bitfleet submit --help says how to queue one"];
  return table(
    ["NAME", "STATE", "STEP", "LOSS", "CORRECT", "LEFT", "CREATED", "REASON"],
    jobs.map((job) => {
      const evaluation = job.evaluations.at(-1);
      return [
        job.name,
        job.state,
        `${job.step}/${job.steps}`,
        job.loss === undefined ? "-" : short(job.loss),
        evaluation === undefined ? "-" : share(evaluation.correct, evaluation.total),
        job.secondsLeft < 0 || job.state !== "training" ? "-" : duration(job.secondsLeft),
        clock(job.createdMs),
        job.reason,
      ];
    }),
  );
}
