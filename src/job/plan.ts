import { architecture } from "../bit/architecture.js";
import { recipeRow, stretched } from "../bit/recipe.js";
import type { RecipeRow, Schedule } from "../bit/schedule.js";
import { checkClasses } from "./classes.js";
import {
  countExamples,
  decideMixup,
  decideSchedule,
  decideSides,
  decideSlices,
  sum,
  type DataSummary,
} from "./decisions.js";
import { expectedMemory } from "./memory.js";
import { ConfigError } from "./problem.js";
import { settings as table, type JobRequest, type JobSettings } from "./settings.js";

/** A setting that differs from what the recipe has for such data. */
export interface Override {
  readonly setting: keyof JobSettings;
  readonly ruleValue: OverrideValue;
  readonly value: OverrideValue;
}

export type OverrideValue = number | boolean | readonly number[];

/** All that a job is, with nothing left open. */
export interface JobPlan {
  readonly settings: JobSettings;
  readonly schedule: Schedule;
  readonly classes: readonly string[];
  /** Examples that training draws from, after any few-shot selection. */
  readonly trainingExamples: number;
  readonly validationExamples: number;
  /** Examples per shard. */
  readonly shardSize: number;
  readonly overridden: readonly Override[];
  /** Estimate for one worker. */
  readonly memoryBytes: number;
}

/**
 * Decides everything that the request leaves to the recipe. Throws a ConfigError, before anything
 * is trained, where settings contradict each other or the data.
 */
export function planJob(request: JobRequest, data: DataSummary): JobPlan {
  checkClasses(data.classes);
  const batch = request.batch ?? table.batch.default;
  const trainingExamples = countExamples(request, data);
  const { medianWidth, medianHeight } = data;
  const recipe = request.recipe ?? table.recipe.default;
  const row = recipeRow(recipe, { trainingExamples, medianWidth, medianHeight, batch });
  const schedule = decideSchedule(request, row);
  const mixup = decideMixup(request, row);
  const settings: JobSettings = {
    ...fixed,
    ...request,
    ...decideSlices(request, batch, mixup),
    ...decideSides(request, row),
    batch,
    recipe,
    steps: schedule.steps,
    rate: schedule.baseRate,
    warmupSteps: schedule.warmupSteps,
    drops: request.drops ?? row.drops,
    momentum: request.momentum ?? row.momentum,
    weightDecay: request.weightDecay ?? row.weightDecay,
    mixup,
    checkpointEvery:
      request.checkpointEvery ?? Math.max(1, Math.min(100, Math.round(schedule.steps / 10))),
  };
  const validationExamples = sum(data.validationCounts);
  checkEvaluationJob(settings, validationExamples);
  const classes = data.classes;
  return {
    settings,
    schedule,
    classes,
    trainingExamples,
    validationExamples,
    shardSize: batch / settings.shards,
    overridden: overrides(settings, row),
    memoryBytes: expectedMemory(
      architecture(settings.model),
      classes.length,
      settings.crop,
      settings.microBatch,
    ),
  };
}

/** The settings whose default is a constant. */
const fixed = {
  validation: table.validation.default,
  validationFraction: table.validationFraction.default,
  weights: table.weights.default,
  seed: table.seed.default,
  noFlip: table.noFlip.default,
  examplesPerClass: table.examplesPerClass.default,
  evalEvery: table.evalEvery.default,
  keepCheckpoints: table.keepCheckpoints.default,
  audit: table.audit.default,
  threads: table.threads.default,
  priority: table.priority.default,
  mixedDevices: table.mixedDevices.default,
};

function checkEvaluationJob({ steps, weights }: JobSettings, validationExamples: number): void {
  if (steps > 0) return;
  if (weights === "") throw new ConfigError("steps 0 only evaluates, for which weights is needed");
  if (validationExamples > 0) return;
  throw new ConfigError("steps 0 only evaluates, and there are no validation examples");
}

function overrides(settings: JobSettings, row: RecipeRow): readonly Override[] {
  const rule: Readonly<Record<(typeof overridable)[number], OverrideValue>> = {
    batch: table.batch.default,
    steps: row.schedule.steps,
    rate: row.schedule.baseRate,
    warmupSteps: stretched(row, settings.steps).warmupSteps,
    drops: row.drops,
    momentum: row.momentum,
    weightDecay: row.weightDecay,
    resize: row.resize,
    crop: row.crop,
    noCrop: false,
    noFlip: false,
    mixup: row.mixup,
  };
  return overridable
    .map((setting) => ({ setting, ruleValue: rule[setting], value: settings[setting] }))
    .filter(({ ruleValue, value }) => String(ruleValue) !== String(value));
}

/** What a recipe has an opinion on, in the order that people read it. */
const overridable = [
  "batch",
  "steps",
  "rate",
  "warmupSteps",
  "drops",
  "momentum",
  "weightDecay",
  "resize",
  "crop",
  "noCrop",
  "noFlip",
  "mixup",
] as const;
