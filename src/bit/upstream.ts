import { resolution, smallArea } from "./hyperrule.js";
import type { RecipeInput, RecipeRow } from "./schedule.js";

/**
 * Pretraining as section 3.3 of the article has it for ImageNet: 90 passes, the rate in proportion
 * to the batch, a tenth of it after passes 30, 60 and 80, weight decay 1e-4, no MixUp. The article
 * warms up for 5000 of 28 000 steps; shorter jobs keep that proportion.
 */
export function upstream(input: RecipeInput): RecipeRow {
  const steps = bounded(Math.round((passes * input.trainingExamples) / input.batch));
  return {
    schedule: {
      baseRate: (0.03 * input.batch) / 256,
      warmupSteps: Math.min(5000, Math.round(0.18 * steps)),
      boundaries: drops.map((drop) => Math.round(drop * steps)),
      steps,
      decay: 10,
    },
    drops,
    momentum: 0.9,
    weightDecay: 1e-4,
    ...sides(input),
    mixup: 0,
  };
}

const passes = 90;
const drops = [30, 60, 80].map((pass) => pass / passes);

/** A tiny data set needs more updates than 90 passes give; nobody waits for over a million. */
function bounded(steps: number): number {
  return Math.min(1_000_000, Math.max(100, steps));
}

/** The article's 224 for ordinary pictures; enlarging small ones that far would only cost time. */
function sides({ medianHeight, medianWidth }: RecipeInput): {
  readonly resize: number;
  readonly crop: number;
} {
  return medianHeight * medianWidth < smallArea
    ? resolution(medianHeight, medianWidth)
    : { resize: 256, crop: 224 };
}
