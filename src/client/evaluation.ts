/** The job that evaluates another job's weights. */
import { ConfigError } from "../job/problem.js";
import type { JobRequest, JobSettings } from "../job/settings.js";

const nameMax = 63;
const evaluationsMax = 10_000;

/**
 * A job of no steps that starts from the weights of the job with these settings. What decides the pictures, their split, the
 * model and the arithmetic stays; what only shapes training is left to the recipe.
 */
export function evaluationRequest(
  settings: JobSettings,
  taken: ReadonlySet<string>,
  validation: string | undefined,
): JobRequest {
  const { model, data, validationFraction, recipe, seed, batch, shards, microBatch } = settings;
  const { resize, crop, noCrop, noFlip, examplesPerClass, threads, mixedDevices } = settings;
  return {
    name: evaluationName(settings.name, taken),
    weights: `job:${settings.name}`,
    steps: 0,
    validation: validation ?? settings.validation,
    ...{ model, data, validationFraction, recipe, seed, batch, shards, microBatch },
    ...{ resize, crop, noCrop, noFlip, examplesPerClass, threads, mixedDevices },
  };
}

/** JOB-evaluate-N with the first free N; a long name is cut, so that the result stays a DNS label. */
export function evaluationName(job: string, taken: ReadonlySet<string>): string {
  for (let number = 1; number <= evaluationsMax; number += 1) {
    const ending = `-evaluate-${number}`;
    const name = `${job.slice(0, nameMax - ending.length).replace(/-+$/, "")}${ending}`;
    if (!taken.has(name)) return name;
  }
  throw new ConfigError(`${job} has been evaluated ${evaluationsMax} times; submit a job by hand`);
}
