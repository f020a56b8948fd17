/** `bitfleet predict JOB FILE…`: what a finished job takes pictures for. */
import { InvalidArgumentError, type Command } from "commander";
import { scoresMax } from "../job/limits.js";
import type { Prediction } from "../wire/training.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { plain } from "./text.js";

interface PredictFlags extends ConnectionFlags {
  readonly top: number;
  readonly json?: boolean;
}

export function addPredict(program: Command, context: Context): void {
  const command = program
    .command("predict")
    .description("classify pictures of this machine with a finished job's weights")
    .argument("<job>", "name of the job")
    .argument("<files...>", "pictures: JPEG, PNG or WebP")
    .option("--top <N>", "how many classes to show of each picture", positive, 3)
    .option("--json", `print JSON, with the best ${scoresMax} classes of each picture`);
  withConnection(command).action((job: string, files: string[], flags: PredictFlags) =>
    withClient(flags, context.variables, async (client) => {
      context.terminal.live(`classifying ${files.length} pictures`);
      const predictions = await client.predict(job, files);
      context.terminal.clearLive();
      if (flags.json === true) printJson(context, predictions);
      else {
        const lines = predictions.flatMap((prediction) => predictionLines(prediction, flags.top));
        for (const line of lines) context.terminal.out(line);
      }
    }),
  );
}

/** `five.png: five 97.5 %, six 1.9 %`. */
export function predictionLines({ picture, scores }: Prediction, top: number): readonly string[] {
  const best = scores
    .slice(0, top)
    .map(({ className, probability }) => `${plain(className)} ${(100 * probability).toFixed(1)} %`);
  return [`${plain(picture)}: ${best.join(", ")}`];
}

function positive(value: string): number {
  const number = Number(value);
  if (/^\d{1,5}$/.test(value) && number > 0 && number <= scoresMax) return number;
  throw new InvalidArgumentError(`it must be a whole number from 1 to ${scoresMax}.`);
}
