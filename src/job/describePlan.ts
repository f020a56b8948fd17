import { architecture, parameterCount } from "../bit/architecture.js";
import { rate } from "../bit/recipe.js";
import type { DataSummary } from "./decisions.js";
import { leftOutText } from "./leftOut.js";
import type { JobPlan, Override } from "./plan.js";
import { plural } from "./plural.js";
import { kebab } from "./settings.js";

/**
 * What a job will be, a line each, for a person in front of a terminal. `time` says how long it may
 * take, where somebody knows.
 */
export function describePlan(plan: JobPlan, data: DataSummary, time?: string): readonly string[] {
  const { settings } = plan;
  const leftOut = leftOutText(data.leftOut);
  return [
    line("Job", settings.name),
    line("Model", modelText(plan)),
    ...(startsFromNothing(plan)
      ? [
          line(
            "Warning",
            "hyperrule is made for transfer, and there are no weights to start from: give --weights, or --recipe upstream",
          ),
        ]
      : []),
    line("Data", dataText(plan)),
    ...classLines(data),
    ...(leftOut === undefined ? [] : [line("Left out", leftOut)]),
    line("Pictures", picturesText(plan, data)),
    ...(settings.steps === 0
      ? [line("Training", "none, the weights are only evaluated")]
      : training(plan)),
    line("Evaluation", evaluationText(plan)),
    line("Memory", `about ${(plan.memoryBytes / 1e9).toFixed(1)} GB per worker (an estimate)`),
    ...(time === undefined ? [] : [line("Time", time)]),
    ...overrideLines(plan.overridden),
  ];
}

const labelWidth = 12;
const classesShown = 12;

function line(label: string, text: string): string {
  return `${label.padEnd(labelWidth)}${text}`;
}

function modelText({ settings, classes }: JobPlan): string {
  const count = parameterCount(architecture(settings.model), classes.length);
  const start = settings.weights === "" ? `from scratch` : `from ${settings.weights}`;
  return `${settings.model}, ${(count / 1e6).toFixed(1)} million parameters, ${start}`;
}

/** The rule's few steps at its low rate take an untrained model nowhere. */
function startsFromNothing({ settings: { weights, recipe, steps } }: JobPlan): boolean {
  return weights === "" && recipe === "hyperrule" && steps > 0;
}

function dataText({ settings, trainingExamples, validationExamples, classes }: JobPlan): string {
  const aside =
    settings.validation === ""
      ? `${validationExamples} set aside for validation`
      : `${validationExamples} for validation in ${settings.validation}`;
  const few = settings.examplesPerClass > 0 ? ` (${settings.examplesPerClass} per class)` : "";
  return `${settings.data}: ${plural(classes.length, "class")}, ${trainingExamples} to train on${few}, ${aside}`;
}

/** The first classes with their counts; of many, how many more there are. */
function classLines({ classes, trainingCounts, validationCounts }: DataSummary): readonly string[] {
  const shown = classes.length <= classesShown ? classes : classes.slice(0, classesShown - 1);
  const width = Math.min(40, Math.max(...shown.map((name) => name.length)));
  const rows = shown.map((name, label) => {
    const training = String(trainingCounts[label] ?? 0).padStart(7);
    return `${name.padEnd(width)}${training} training, ${validationCounts[label] ?? 0} validation`;
  });
  const hidden = classes.length - shown.length;
  return [...rows, ...(hidden > 0 ? [`and ${hidden} more`] : [])].map((row) => line("", row));
}

function picturesText({ settings }: JobPlan, { medianWidth, medianHeight }: DataSummary): string {
  const { resize, crop, noCrop, noFlip } = settings;
  const cut = noCrop
    ? `squashed to ${crop} x ${crop}, not cropped`
    : `squashed to ${resize} x ${resize}, cropped at random to ${crop} x ${crop}`;
  return `${medianWidth} x ${medianHeight} (median), ${cut}, ${noFlip ? "not flipped" : "flipped at random"}`;
}

function training(plan: JobPlan): readonly string[] {
  const { settings, shardSize, trainingExamples } = plan;
  const { steps, batch, momentum, weightDecay, mixup, shards, microBatch } = settings;
  const passes = (steps * batch) / trainingExamples;
  return [
    line(
      "Training",
      `${plural(steps, "step")} of ${plural(batch, "example")}, ${passes.toFixed(1)} passes over the data`,
    ),
    line("Rate", rateText(plan)),
    line("Optimizer", `SGD, momentum ${momentum}, weight decay ${weightDecay}`),
    line(
      "MixUp",
      mixup === 0
        ? "off"
        : `alpha ${mixup}, each picture with another of its shard of ${batch / shards}`,
    ),
    line(
      "Shards",
      `${shards} of ${plural(shardSize, "example")}, computed ${microBatch} at a time`,
    ),
    line(
      "Checkpoints",
      `every ${counted(settings.checkpointEvery, "step")}, the last ${settings.keepCheckpoints} kept`,
    ),
  ];
}

function rateText({ schedule }: JobPlan): string {
  const { warmupSteps, boundaries, steps } = schedule;
  const peak = short(schedule.baseRate);
  const start =
    warmupSteps === 0 ? peak : `rises to ${peak} over the first ${counted(warmupSteps, "step")}`;
  const drops = [...new Set(boundaries)]
    .filter((boundary) => boundary + 1 < steps)
    .map((boundary) => `${short(rate(schedule, boundary + 1))} after step ${boundary}`);
  return [start, ...drops].join(", ");
}

function evaluationText({ settings, validationExamples }: JobPlan): string {
  if (validationExamples === 0) return "none, there are no validation examples";
  const { evalEvery, steps } = settings;
  const often =
    evalEvery === 0 || evalEvery >= steps ? "" : `every ${counted(evalEvery, "step")} and `;
  return `${often}at the end`;
}

function overrideLines(overridden: readonly Override[]): readonly string[] {
  return overridden.map(({ setting, ruleValue, value }, i) =>
    line(
      i === 0 ? "Overridden" : "",
      `${kebab(setting)} ${shown(value)}, by the recipe ${shown(ruleValue)}`,
    ),
  );
}

function shown(value: Override["value"]): string {
  if (typeof value === "boolean") return value ? "on" : "off";
  return typeof value === "number" ? short(value) : value.map(short).join(",");
}

/** Without the noise of binary fractions: 0.0003 instead of 0.00030000000000000003. */
function short(value: number): string {
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(4)));
}

/** "step", "25 steps", as behind "every" and "the first". */
function counted(count: number, unit: string): string {
  return count === 1 ? unit : plural(count, unit);
}
