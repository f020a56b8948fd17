import { hyperRule } from "./hyperrule.js";
import type { RecipeInput, RecipeRow, Schedule } from "./schedule.js";
import { upstream } from "./upstream.js";

/**
 * What a recipe decides from a data set: sizes, schedule, optimizer, MixUp. There are two: the
 * BiT-HyperRule for transfer and the upstream recipe for pretraining.
 */

export const recipeNames = ["hyperrule", "upstream"] as const;
export type RecipeName = (typeof recipeNames)[number];

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
