import { queuedRecord, type JobRecord } from "../../src/control/record.js";
import { planJob } from "../../src/job/plan.js";

/** A record of a job of 100 steps that stands at `step`. */
export function jobRecordOf(name: string, step = 0): JobRecord {
  const data = {
    ...{ classes: ["a", "b"], trainingCounts: [9, 9], validationCounts: [1, 1] },
    ...{ medianWidth: 32, medianHeight: 32, leftOut: [], digest: "ab" },
  };
  const plan = planJob({ name, model: "R50x1", data: "/data", steps: 100 }, data);
  const job = { name, requestId: "r", order: 1, plan, indexDigest: "ab", createdMs: 5 };
  return { ...queuedRecord(job), step };
}
