import { join } from "node:path";
import type { JobRequest } from "../../src/job/settings.js";

/** The job that all runs train: tiny, with everything in it that a large one has. */
export function chaosJob(folder: string, name: string, steps: number): JobRequest {
  return {
    ...{ name, steps, model: "1-1-1-1x0.5", data: join(folder, "pictures"), seed: 5 },
    ...{ batch: chaosBatch, shards: 12, microBatch: 4, resize: 36, crop: 32, mixup: 0.2 },
    ...{ rate: 0.003, checkpointEvery: 25, evalEvery: 40 },
  };
}

export const chaosBatch = 48;
