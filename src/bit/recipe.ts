import { hyperRule } from "./hyperrule.js";
import { upstream } from "./upstream.js";

/**
 * What a recipe decides from a data set: sizes, schedule, optimizer, MixUp. There are two: the
 * BiT-HyperRule for transfer and the upstream recipe for pretraining.
 */

/** The learning rate as a function of the step; a job has exactly `steps` updates. */
export interface Schedule {
  readonly baseRate: number;
  /** The rate grows linearly from 0 at step 0 and is `baseRate` from this step on. */
  readonly warmupSteps: number;
  /** From the step after each of these on, the rate is divided by `decay` once more. */
  readonly boundaries: readonly number[];
  readonly steps: number;
  readonly decay: 10;
}

export const recipeNames = ["hyperrule", "upstream"] as const;
export type RecipeName = (typeof recipeNames)[number];

/** What of a data set the recipes look at. */
export interface RecipeInput {
  readonly trainingExamples: number;
  readonly medianWidth: number;
  readonly medianHeight: number;
  readonly batch: number;
}

/** A recipe's answer, before any setting is overridden. */
export interface RecipeRow {
  readonly schedule: Schedule;
  /** The boundaries as parts of the steps, before they were rounded. */
  readonly drops: readonly number[];
  readonly momentum: number;
  readonly weightDecay: number;
  /** Pictures are squashed to this side, then cut to `crop`. */
  readonly resize: number;
  readonly crop: number;
  /** Alpha of the Beta distribution of MixUp's coefficient; 0 is off. */
  readonly mixup: number;
}

export function recipeRow(recipe: RecipeName, input: RecipeInput): RecipeRow {
  return recipe === "hyperrule" ? hyperRule(input) : upstream(input);
}

/**
 * The rate of update `step`; 0 once training has ended. Divides repeatedly, as `get_lr` of the
 * reference does, so that the doubles are the same.
 */
export function rate(schedule: Schedule, step: number): number {
  const { baseRate, warmupSteps, boundaries, steps, decay } = schedule;
  if (step >= steps) return 0;
  if (step < warmupSteps) return (baseRate * step) / warmupSteps;
  return boundaries.reduce(
    (value, boundary) => (boundary < step ? value / decay : value),
    baseRate,
  );
}

/** The row's schedule over another number of steps: warm-up and drops keep their proportions. */
export function stretched({ schedule, drops }: RecipeRow, steps: number): Schedule {
  return {
    ...schedule,
    warmupSteps: Math.round((schedule.warmupSteps * steps) / schedule.steps),
    boundaries: boundariesAt(drops, steps),
    steps,
  };
}

/** The steps after which the rate drops, given as parts of all steps. */
export function boundariesAt(drops: readonly number[], steps: number): readonly number[] {
  return drops.map((drop) => Math.round(drop * steps));
}
