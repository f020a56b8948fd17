/** `bitfleet predict JOB FILE…`: what a finished job takes pictures for. */
import type { Command } from "commander";
import type { BitfleetClient } from "../client/client.js";
import { scoresMax } from "../job/limits.js";
import { plural } from "../job/plural.js";
import type { Prediction } from "../wire/training.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { orInterrupted, printJson, type Context } from "./context.js";
import { checkTilde } from "./fromHere.js";
import { plain } from "./text.js";
import { wholeNumber } from "./wholeNumber.js";

interface PredictFlags extends ConnectionFlags {
  readonly top: number;
  readonly json?: boolean;
}

export function addPredict(program: Command, context: Context): void {
  const command = program
    .command("predict")
    .description("classify pictures of this machine with a finished job's weights")
    .argument("<job>", "name of the job")
    .argument("<files...>", "pictures and folders of them: JPEG, PNG, WebP or GIF")
    .option(
      "--top <N>",
      "how many classes to show of each picture",
      wholeNumber("--top", 1, scoresMax),
      3,
    )
    .option("--json", `print JSON, with the best ${scoresMax} classes of each picture`);
  withConnection(command).action((job: string, files: string[], flags: PredictFlags) =>
    withClient(flags, context.variables, async (client) => {
      const all = await orInterrupted(
        classify(client, job, files, flags, context),
        context.signal,
        "pictures that were not shown were not classified",
      );
      if (flags.json === true) printJson(context, all);
      if (all.some(({ problem }) => problem !== undefined)) context.setExitCode(1);
    }),
  );
}

/** Shows the answers of each call as they come, and those that are problems as notes; returns them all. */
async function classify(
  client: BitfleetClient,
  job: string,
  files: readonly string[],
  { top, json }: PredictFlags,
  { terminal, signal }: Context,
): Promise<readonly Prediction[]> {
  const all: Prediction[] = [];
  for (const file of files) checkTilde(file, "the picture");
  for await (const { predictions, total } of client.predictions(job, files, { signal })) {
    all.push(...predictions);
    for (const prediction of predictions) {
      const { picture, problem } = prediction;
      if (problem !== undefined) terminal.note(problemLine(picture, problem));
      else if (json !== true)
        for (const line of predictionLines(prediction, top)) terminal.out(line);
    }
    if (all.length < total) terminal.live(`classifying ${counted(all.length, total)}`);
  }
  terminal.clearLive();
  return all;
}

function counted(done: number, total: number): string {
  return done === 0 ? plural(total, "picture") : `${plural(total, "picture")}, ${done} done`;
}

/** The sentence, with the name where it is not in it. */
function problemLine(picture: string, problem: string): string {
  return plain(problem.includes(picture) ? problem : `${picture}: ${problem}`);
}

/** `five.png: five 97.5 %, six 1.9 %`. */
export function predictionLines({ picture, scores }: Prediction, top: number): readonly string[] {
  const best = scores
    .slice(0, top)
    .map(({ className, probability }) => `${plain(className)} ${(100 * probability).toFixed(1)} %`);
  return [`${plain(picture)}: ${best.join(", ")}`];
}
