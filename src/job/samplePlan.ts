import type { SamplePlan } from "../plan/sampler.js";
import type { JobSettings } from "./settings.js";

/** What the sampler needs of a job. */
export function samplePlan(settings: JobSettings, trainingExamples: number): SamplePlan {
  const { seed, batch, shards, resize, crop, mixup } = settings;
  return {
    seed,
    examples: trainingExamples,
    batch,
    shards,
    resize,
    crop,
    randomCrop: !settings.noCrop,
    flip: !settings.noFlip,
    mixup,
  };
}
