/** `bitfleet status JOB`: all about one job. */
import type { Command } from "commander";
import { hasEnded } from "../control/record.js";
import { evaluationsMax } from "../job/limits.js";
import { plural } from "../job/plural.js";
import { shell } from "../job/shell.js";
import type { JobStatus } from "../wire/training.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { stateColor } from "./progress.js";
import type { Terminal } from "./terminal.js";
import { clock, duration, pairs, plain, share, short, table } from "./text.js";
import { watchJob } from "./watching.js";

interface StatusFlags extends ConnectionFlags {
  readonly json?: boolean;
  readonly watch?: boolean;
}

export function addStatus(program: Command, context: Context): void {
  const command = program
    .command("status")
    .description("show what a job is doing")
    .argument("<job>", "name of the job")
    .option("--watch", "follow the job to its end; Ctrl-C detaches")
    .option("--json", "print JSON");
  withConnection(command).action((job: string, flags: StatusFlags) =>
    withClient(flags, context.variables, async (client) => {
      const status = await client.job(job);
      if (flags.watch === true && !hasEnded(status.state)) {
        const last = await watchJob(client, job, context);
        if (flags.json === true) printJson(context, last ?? status);
        return;
      }
      if (flags.json === true) printJson(context, status);
      else for (const line of statusLines(status, context.terminal)) context.terminal.out(line);
      if (flags.watch === true && status.state !== "done") context.setExitCode(1);
    }),
  );
}

export function statusLines(
  status: JobStatus,
  { paint }: Pick<Terminal, "paint">,
): readonly string[] {
  const head = `${status.name}: ${paint(stateColor(status.state), status.state)}`;
  const lines = [status.reason === "" ? head : `${head}, ${plain(status.reason)}`];
  lines.push(...pairs(facts(status)).map((line) => `  ${line}`));
  if (status.evaluations.length === 0) return lines;
  const rows = status.evaluations.map(({ step, correct, total, loss }) => [
    String(step),
    share(correct, total),
    short(loss),
  ]);
  const evaluations = table(["AT STEP", "CORRECT", "LOSS"], rows);
  const older =
    rows.length < evaluationsMax ? [] : [shell`older ones: bitfleet logs ${status.name}`];
  return [...lines, ...[...evaluations, ...older].map((line) => `  ${line}`)];
}

function facts(status: JobStatus): readonly (readonly [string, string])[] {
  const { settings } = status;
  const progress = status.steps === 0 ? "none" : `${status.step} of ${status.steps}`;
  const found: (readonly [string, string])[] = [
    ["model", `${settings.model}, ${plural(status.classes.length, "class")}`],
    ["data", settings.data],
    ["steps", `${progress}, ${plural(status.batch, "example")} each, pass ${status.epoch}`],
  ];
  if (status.loss !== undefined) found.push(["loss", short(status.loss)]);
  if (!hasEnded(status.state)) found.push(...underWay(status));
  if (status.checkpointStep > 0) found.push(["checkpoint", `at step ${status.checkpointStep}`]);
  found.push(["attempt", `${status.attempt}, generation ${status.generation}`]);
  found.push(["created", clock(status.createdMs)]);
  if (status.startedMs > 0) found.push(["started", clock(status.startedMs)]);
  if (status.endedMs > 0) found.push(["ended", `${clock(status.endedMs)}${taken(status)}`]);
  if (status.parameterDigest !== "") found.push(["parameters", status.parameterDigest]);
  if (status.weights !== "") found.push(["weights", `${status.weights} in the store`]);
  return found;
}

function underWay(status: JobStatus): readonly (readonly [string, string])[] {
  const { rate, imagesPerSecond, secondsLeft, workers, workerUse } = status;
  return [
    ["rate", short(rate)],
    ["workers", workerUse > 0 ? `${workers}, used to ${percent(workerUse)}` : String(workers)],
    ...slowest(status),
    ["speed", imagesPerSecond > 0 ? `${short(imagesPerSecond)} images/s` : "not measured yet"],
    ["time left", secondsLeft < 0 ? "not known yet" : duration(secondsLeft)],
  ];
}

function slowest({ straggler, stragglerTimes }: JobStatus): readonly (readonly [string, string])[] {
  if (straggler === "") return [];
  const times = stragglerTimes.toFixed(1);
  return [["slowest", `${straggler} takes ${times} times as long for a shard as the median`]];
}

function percent(part: number): string {
  return `${Math.round(100 * part)} %`;
}

function taken({ startedMs, endedMs }: JobStatus): string {
  return startedMs === 0 ? "" : `, after ${duration((endedMs - startedMs) / 1000)}`;
}
