/** `bitfleet submit`: shows what will happen, then queues the job. Its flags come from the table of settings. */
import { Option, type Command } from "commander";
import type { BitfleetClient } from "../client/client.js";
import { dataSetAt } from "../job/dataPlace.js";
import { hasEnded } from "../control/record.js";
import { ConfigError, FailureError } from "../job/problem.js";
import { checkRequest } from "../job/request.js";
import {
  flag,
  helpText,
  placeholder,
  settingNames,
  type JobRequest,
  type SettingName,
} from "../job/settings.js";
import { shell } from "../job/shell.js";
import type { JobStatus, Preview } from "../wire/training.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { fromHere } from "./fromHere.js";
import { plain } from "./text.js";
import { watchJob } from "./watching.js";

/** A job that was made so long before the command, by clocks that may differ a little, is not its own. */
const sameMs = 120_000;

interface SubmitFlags extends ConnectionFlags {
  readonly watch?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

export function addSubmit(program: Command, context: Context): void {
  const command = program
    .command("submit")
    .description("show what a job will do, then queue it")
    .summary("queue a job");
  for (const name of settingNames) command.addOption(settingOption(name));
  command
    .option("--watch", "follow the job to its end; Ctrl-C detaches")
    .option("--dry-run", "stop after showing what would happen")
    .option("--json", "print the preview (--dry-run) or the job as JSON");
  withConnection(command).action(async (flags: SubmitFlags) => {
    const request = requestOf(flags);
    await withClient(flags, context.variables, (client) => submit(client, request, flags, context));
  });
}

function settingOption(name: SettingName): Option {
  const value = placeholder(name);
  const option = new Option(value === undefined ? flag(name) : `${flag(name)} <${value}>`);
  option.description = helpText(name);
  // commander would read --no-crop as "crop, switched off".
  option.negate = false;
  // Not mandatory to commander, which would ask for it before it names an unknown flag; checkRequest asks.
  return option;
}

/** Paths are those of the workers; a relative one is meant from here. ConfigError: as `checkRequest`. */
export function requestOf(flags: object): JobRequest {
  const given = Object.entries(flags).filter(([key]) => settingNames.some((name) => name === key));
  const request = checkRequest(Object.fromEntries(given));
  const { data, validation, weights } = request;
  return {
    ...request,
    data: placeFromHere(data, "--data"),
    ...(validation === undefined ? {} : { validation: placeFromHere(validation, "--validation") }),
    ...(weights === undefined ? {} : { weights: weightsPath(weights) }),
  };
}

/** A relative folder is meant from here; a data set of the store from nowhere. */
export function placeFromHere(place: string, flag: string): string {
  return dataSetAt(place) === undefined ? fromHere(place, flag) : place;
}

function weightsPath(weights: string): string {
  return weights.startsWith("job:") ? weights : fromHere(weights, "--weights");
}

async function submit(
  client: BitfleetClient,
  request: JobRequest,
  flags: SubmitFlags,
  context: Context,
): Promise<void> {
  const { terminal } = context;
  const preview = await readPreview(client, request, context);
  if (flags.dryRun === true && flags.json === true) {
    printJson(context, preview);
    return;
  }
  if (flags.json !== true) for (const line of preview.lines) terminal.out(plain(line));
  if (flags.dryRun === true) {
    terminal.note("nothing was submitted (--dry-run)");
    return;
  }
  const askedMs = Date.now();
  const status = await client.submit(request);
  refuseOlder(status, askedMs);
  if (flags.json !== true) terminal.out(`${status.name} is ${status.state}`);
  if (flags.watch === true) {
    const last = await watchJob(client, status.name, context);
    if (flags.json === true) printJson(context, last ?? status);
  } else if (flags.json === true) printJson(context, status);
  else terminal.note(shell`watch it: bitfleet status ${status.name} --watch`);
}

/** Who asks again gets the job that is under way; a name of one that ended long ago is used up, whatever its settings. */
function refuseOlder({ name, state, createdMs }: JobStatus, askedMs: number): void {
  if (!hasEnded(state) || createdMs > askedMs - sameMs) return;
  throw new ConfigError(
    `name ${name} is in use by a job of the very same settings, which is ${state}; names are never used twice`,
  );
}

async function readPreview(
  client: BitfleetClient,
  request: JobRequest,
  { terminal, signal }: Context,
): Promise<Preview> {
  let found: Preview | undefined;
  for await (const { picturesRead, pictures, preview } of client.preview(request, { signal })) {
    found = preview;
    if (pictures > 0) terminal.live(`reading pictures: ${picturesRead} of ${pictures}`);
  }
  terminal.clearLive();
  if (signal.aborted) throw new FailureError("interrupted; nothing was submitted");
  if (found === undefined) throw new FailureError("the coordinator ended the preview early");
  return found;
}
