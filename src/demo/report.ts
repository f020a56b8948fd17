import type { DigitFolders } from "./digits.js";

/** How one training ended. */
export interface Outcome {
  readonly job: string;
  readonly correct: number;
  readonly total: number;
  readonly seconds: number;
}

const barWidth = 30;

/** The demo's last screen. */
export function report(result: {
  readonly upstream: Outcome;
  readonly transfer: readonly Outcome[];
  readonly scratch: readonly Outcome[];
  readonly weights: string;
  readonly seconds: number;
  readonly digits: DigitFolders;
}): readonly string[] {
  const { upstream, transfer, scratch, weights, seconds, digits } = result;
  return [
    "",
    "Five new digits from ten examples of each, tested on pictures that no job has seen:",
    "",
    ...comparison("rate 0.003, the rule's", transfer[0], scratch[0]),
    ...comparison("rate 0.03, ten times that", transfer[1], scratch[1]),
    row("the pretrained model on its own 0 to 4", upstream),
    "",
    `All used the same 50 examples; what differs is where they began. ${Math.round(seconds)} s in all.`,
    "",
    `The weights:  ${weights}`,
    "",
    "Next, with a folder of your own pictures, one folder per class:",
    "  npx bitfleet up --workers 2",
    "  npx bitfleet submit --name mine --model R50x1 --data FOLDER --weights BiT-M-R50x1.npz --watch",
    "Or look at what this run has made:",
    `  ls ${digits.transfer}`,
    `  python3 -c "import numpy; print(numpy.load('${weights}').files)"`,
  ];
}

/** The outcome with the most pictures right, the first of equals. */
export function best(outcomes: readonly Outcome[]): Outcome {
  return outcomes.reduce((a, b) => (b.correct > a.correct ? b : a));
}

function comparison(
  title: string,
  transfer: Outcome | undefined,
  scratch: Outcome | undefined,
): readonly string[] {
  if (transfer === undefined || scratch === undefined) return [];
  return [`  ${title}`, row("  transferred", transfer), row("  from scratch", scratch), ""];
}

function row(title: string, { correct, total }: Outcome): string {
  const share = total === 0 ? 0 : correct / total;
  const bar = "█".repeat(Math.round(share * barWidth)).padEnd(barWidth, "·");
  const percent = `${(100 * share).toFixed(1)} %`.padStart(7);
  return `  ${title.padEnd(42)}${bar} ${percent}  ${correct}/${total}`;
}
