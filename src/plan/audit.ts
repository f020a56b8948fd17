import { hash32, scale32 } from "./random.js";

/** Keeps the draw apart from others of the same seed. */
const drawOfAudit = 0x61756469;

/**
 * Whether a shard of a training step is computed twice and compared: one in `every`, 0 for none.
 * Depends on the job alone, so that any workers compare the same shards.
 */
export function isAudited(
  { seed, audit: every }: { readonly seed: number; readonly audit: number },
  step: number,
  shard: number,
): boolean {
  return every > 0 && scale32(hash32(seed, drawOfAudit, step, shard), every) === 0;
}
