import { boundariesAt, stretched } from "../bit/recipe.js";
import type { RecipeRow, Schedule } from "../bit/schedule.js";
import type { LeftOut } from "./leftOut.js";
import { plural } from "./plural.js";
import { ConfigError } from "./problem.js";
import { settings as table, type JobRequest, type JobSettings } from "./settings.js";

/** The parts of a plan, each decided from the request, the recipe's row and the data. */

/** What a plan needs to know of the data. */
export interface DataSummary {
  readonly classes: readonly string[];
  /** Examples per class. */
  readonly trainingCounts: readonly number[];
  readonly validationCounts: readonly number[];
  readonly medianWidth: number;
  readonly medianHeight: number;
  readonly leftOut: readonly LeftOut[];
  readonly digest: string;
}

/** Examples to train on, after any few-shot selection. Refuses data that cannot be learned from. */
export function countExamples({ examplesPerClass: k = 0 }: JobRequest, data: DataSummary): number {
  const { classes, trainingCounts } = data;
  if (classes.length < 2) {
    const found = classes.length === 0 ? "no class" : `only the class "${classes.join()}"`;
    throw new ConfigError(`data has ${found}, and at least 2 classes are needed`);
  }
  for (const [label, name] of classes.entries()) {
    const count = trainingCounts[label] ?? 0;
    if (count === 0) throw new ConfigError(`class "${name}" has no training examples`);
    if (count >= k) continue;
    throw new ConfigError(`examples-per-class ${k} is more than class "${name}" has: ${count}`);
  }
  return k > 0 ? k * classes.length : sum(trainingCounts);
}

/** The row stretched to the wanted steps, then what is stated by hand. */
export function decideSchedule(request: JobRequest, row: RecipeRow): Schedule {
  const steps = request.steps ?? row.schedule.steps;
  const shape = stretched(row, steps);
  const { rate: baseRate = shape.baseRate, warmupSteps = shape.warmupSteps, drops } = request;
  if (warmupSteps >= steps && warmupSteps > 0) {
    throw new ConfigError(
      `warmup-steps is ${warmupSteps}, not below the ${plural(steps, "step")} of the job`,
    );
  }
  const boundaries = drops === undefined ? shape.boundaries : boundariesAt(drops, steps);
  return { ...shape, baseRate, warmupSteps, boundaries };
}

/** How a batch is cut. With MixUp, whose partners come from the same shard, a shard has some to choose from. */
export function decideSlices(
  request: JobRequest,
  batch: number,
  mixup: number,
): Pick<JobSettings, "shards" | "microBatch" | "minWorkers"> {
  const { minWorkers = table.minWorkers.default } = request;
  const shards = request.shards ?? shardsOf(batch, mixup);
  if (batch % shards !== 0) {
    throw new ConfigError(
      `batch ${batch} cannot be cut into ${shards} shards: ` +
        `shards must divide it, such as ${largestDivisor(batch, shards)}`,
    );
  }
  const shardSize = batch / shards;
  if (mixup > 0 && shardSize < 2) {
    throw new ConfigError(
      `mixup ${mixup} mixes pictures of one shard, and a shard has 1 (batch ${batch} in ${plural(shards, "shard")}): ` +
        "use fewer shards, or mixup 0",
    );
  }
  const microBatch = request.microBatch ?? largestDivisor(shardSize, microBatchMax);
  if (shardSize % microBatch !== 0) {
    throw new ConfigError(
      `micro-batch ${microBatch} does not divide a shard of ${plural(shardSize, "example")} ` +
        `(batch ${batch} in ${plural(shards, "shard")})`,
    );
  }
  if (minWorkers > shards) {
    throw new ConfigError(
      `min-workers ${minWorkers} is more than there are shards to deal: ${shards}`,
    );
  }
  return { shards, microBatch, minWorkers };
}

const microBatchMax = 16;

/** With MixUp a shard has at least so many pictures unless its size is chosen by hand, or the batch has fewer. */
const mixedMin = 8;

function shardsOf(batch: number, mixup: number): number {
  const usual = table.shards.default;
  if (mixup === 0 || batch >= usual * mixedMin) return usual;
  return largestDivisor(batch, Math.max(1, Math.floor(batch / mixedMin)));
}

/** Where only one side is given, the other keeps the recipe's proportion to it. */
export function decideSides(
  request: JobRequest,
  row: RecipeRow,
): Pick<JobSettings, "resize" | "crop" | "noCrop"> {
  const { noCrop = false, resize: givenResize, crop: givenCrop } = request;
  const proportion = row.crop / row.resize;
  const crop =
    givenCrop ?? (givenResize === undefined ? row.crop : Math.round(givenResize * proportion));
  if (noCrop) {
    if (givenResize === undefined || givenResize === crop) return { resize: crop, crop, noCrop };
    throw new ConfigError(
      `resize ${givenResize} means nothing with no-crop: pictures are squashed to crop ${crop}`,
    );
  }
  const resize =
    givenResize ?? (givenCrop === undefined ? row.resize : Math.round(givenCrop / proportion));
  if (crop > resize) throw new ConfigError(`crop ${crop} is larger than resize ${resize}`);
  return { resize, crop, noCrop };
}

/** MixUp's alpha. */
export function decideMixup(request: JobRequest, row: RecipeRow): number {
  const mixup = request.mixup ?? row.mixup;
  if (mixup === 0 || mixup >= mixupMin) return mixup;
  throw new ConfigError(`mixup is ${mixup}, neither 0 nor at least ${mixupMin}`);
}

/** Below it every draw is 0 or 1, and the logarithms of the draws overflow. */
const mixupMin = 0.001;

function largestDivisor(of: number, most: number): number {
  let divisor = Math.min(of, most);
  while (of % divisor !== 0) divisor -= 1;
  return divisor;
}

export function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
