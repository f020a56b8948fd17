/** `bitfleet jobs`: the jobs of the fleet, a line each. */
import type { Command } from "commander";
import { jobStates, type JobState } from "../control/record.js";
import { ConfigError } from "../job/problem.js";
import type { JobStatus } from "../wire/training.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { clock, duration, share, short, table } from "./text.js";
import { wholeNumber } from "./wholeNumber.js";

const kinds = ["training", "evaluation"] as const;

export interface JobFilter {
  readonly state?: readonly JobState[];
  readonly kind?: (typeof kinds)[number];
  /** The newest so many. */
  readonly limit?: number;
}

interface JobsFlags extends ConnectionFlags, JobFilter {
  readonly json?: boolean;
}

export function addJobs(program: Command, context: Context): void {
  const command = program
    .command("jobs")
    .description("list the jobs of the fleet, oldest first, evaluations among them")
    .option("--state <STATE,...>", `only those that are ${jobStates.join(", ")}`, states)
    .option("--kind <KIND>", `only one kind: ${kinds.join(" or ")}`, kind)
    .option("--limit <N>", "only the newest so many", wholeNumber("--limit", 1, 1_000_000))
    .option("--json", "print JSON");
  withConnection(command).action(async (flags: JobsFlags) => {
    const all = await withClient(flags, context.variables, (client) => client.jobs());
    const jobs = filtered(all, flags);
    if (flags.json === true) printJson(context, jobs);
    else if (all.length > 0 && jobs.length === 0) context.terminal.note("no job is like that");
    else for (const line of jobLines(jobs, context.terminal.columns)) context.terminal.out(line);
  });
}

function states(value: string): readonly JobState[] {
  return value.split(",").map((text) => {
    const state = jobStates.find((known) => known === text);
    if (state !== undefined) return state;
    throw new ConfigError(`--state is "${text}", but must be of ${jobStates.join(", ")}`);
  });
}

function kind(value: string): (typeof kinds)[number] {
  const found = kinds.find((known) => known === value);
  if (found !== undefined) return found;
  throw new ConfigError(`--kind is "${value}", but must be ${kinds.join(" or ")}`);
}

/** An evaluation is a job of no steps. */
function kindOf({ steps }: JobStatus): (typeof kinds)[number] {
  return steps === 0 ? "evaluation" : "training";
}

export function filtered(
  jobs: readonly JobStatus[],
  { state, kind: wanted, limit = Infinity }: JobFilter,
): readonly JobStatus[] {
  const found = jobs
    .filter((job) => state?.includes(job.state) ?? true)
    .filter((job) => wanted === undefined || kindOf(job) === wanted);
  return found.slice(Math.max(0, found.length - limit));
}

export function jobLines(jobs: readonly JobStatus[], columns?: number): readonly string[] {
  if (jobs.length === 0) return ["no jobs yet; bitfleet submit --help says how to queue one"];
  return table(
    ["NAME", "STATE", "STEP", "LEFT", "CORRECT", "LOSS", "CREATED", "REASON"],
    jobs.map((job) => {
      const evaluation = job.evaluations.at(-1);
      return [
        job.name,
        job.state,
        kindOf(job) === "evaluation" ? "evaluation" : `${job.step}/${job.steps}`,
        job.secondsLeft < 0 || job.state !== "training" ? "-" : duration(job.secondsLeft),
        evaluation === undefined ? "-" : share(evaluation.correct, evaluation.total),
        job.loss === undefined ? "-" : short(job.loss),
        clock(job.createdMs),
        job.reason,
      ];
    }),
    { columns, endsInSentences: true },
  );
}
