import type { RecipeInput, RecipeRow, Schedule } from "./schedule.js";

/**
 * BiT-HyperRule: how to transfer to any data set without a search. Row for row as
 * `bit_hyperrule.py` of google-research/big_transfer, which drops the rate of small tasks at 40,
 * 60 and 80 % where the article's text says 30, 60 and 90: the code made the published numbers.
 */

/** Pictures below this area (strictly) count as small. */
export const smallArea = 96 * 96;

const baseRate = 0.003;

export function hyperRule(input: RecipeInput): RecipeRow {
  const chosen = schedule(input.trainingExamples);
  return {
    ...resolution(input.medianHeight, input.medianWidth),
    schedule: chosen,
    drops: chosen.boundaries.map((boundary) => boundary / chosen.steps),
    momentum: 0.9,
    weightDecay: 0,
    mixup: mixupAlpha(input.trainingExamples),
  };
}

/** The side that pictures of this size are resized to, and that of the crop taken from it. */
export function resolution(
  height: number,
  width: number,
): { readonly resize: number; readonly crop: number } {
  return height * width < smallArea ? { resize: 160, crop: 128 } : { resize: 512, crop: 480 };
}

/** The schedule for a training set of `examples` pictures (after any few-shot selection). */
export function schedule(examples: number): Schedule {
  const [warmupSteps, boundaries, steps] = supports(examples);
  return { baseRate, warmupSteps, boundaries, steps, decay: 10 };
}

/** MixUp's alpha for a training set of `examples` pictures; 0 is off. */
export function mixupAlpha(examples: number): number {
  return examples < 20_000 ? 0 : 0.1;
}

function supports(examples: number): readonly [number, readonly number[], number] {
  if (examples < 20_000) return [100, [200, 300, 400], 500];
  if (examples < 500_000) return [500, [3000, 6000, 9000], 10_000];
  return [500, [6000, 12_000, 18_000], 20_000];
}
