/** How many workers to ask for, as demand comes and goes: up at once, down only after it has stayed lower for a while. */
export interface ScalingBounds {
  readonly min: number;
  readonly max: number;
  /** So long demand has to stay below what there is. */
  readonly downAfterMs: number;
}

/** Since when demand has been below what there is, and the most that it was in that time. */
export interface Lull {
  readonly sinceMs: number;
  readonly most: number;
}

export interface Scaling {
  /** Undefined: what there is stays. */
  readonly replicas: number | undefined;
  readonly lull: Lull | undefined;
}

/** `demand` is what all jobs could use, `current` what was last asked for, both in workers. */
export function scaled(
  lull: Lull | undefined,
  { demand, current, nowMs }: { demand: number; current: number; nowMs: number },
  { min, max, downAfterMs }: ScalingBounds,
): Scaling {
  const wanted = Math.min(max, Math.max(min, demand));
  if (wanted === current) return { replicas: undefined, lull: undefined };
  if (wanted > current) return { replicas: wanted, lull: undefined };
  const { sinceMs, most } = lull ?? { sinceMs: nowMs, most: wanted };
  const seen = { sinceMs, most: Math.max(most, wanted) };
  if (nowMs - sinceMs < downAfterMs) return { replicas: undefined, lull: seen };
  return { replicas: seen.most, lull: undefined };
}
