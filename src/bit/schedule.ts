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
