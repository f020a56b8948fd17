import { hash32, scale32 } from "./random.js";

/** Keep the draws apart from others of the same seed, and from each other. */
const drawOfAudit = 0x61756469;
const drawOfEvaluation = 0x6576616c;

export interface AuditSettings {
  readonly seed: number;
  /** One shard in so many is computed twice and compared; 0 for none. */
  readonly audit: number;
}

/**
 * Whether a shard of a training step is computed twice and compared. Depends on the job alone, so
 * that any workers compare the same shards.
 */
export function isAudited(
  { seed, audit: every }: AuditSettings,
  step: number,
  shard: number,
): boolean {
  return every > 0 && scale32(hash32(seed, drawOfAudit, step, shard), every) === 0;
}

/**
 * The shards of an evaluation that are computed twice and compared: one in `audit`, and of each
 * worker's shards one at least. An evaluation is rare and short, and one number of it stands for
 * the job, so every worker that had a part in it is looked at.
 */
export function auditedInEvaluation(
  { seed, audit: every }: AuditSettings,
  step: number,
  shardsOfWorkers: Iterable<readonly number[]>,
): ReadonlySet<number> {
  const audited = new Set<number>();
  if (every === 0) return audited;
  for (const shards of shardsOfWorkers) {
    let lowest = { draw: Infinity, shard: -1 };
    for (const shard of shards) {
      const draw = hash32(seed, drawOfEvaluation, step, shard);
      if (scale32(draw, every) === 0) audited.add(shard);
      // The lowest draw stays the lowest when a worker takes over more shards, more often than not.
      if (draw < lowest.draw) lowest = { draw, shard };
    }
    if (lowest.shard >= 0) audited.add(lowest.shard);
  }
  return audited;
}
