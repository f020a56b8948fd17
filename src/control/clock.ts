import type { Clock } from "./fleetState.js";

/**
 * The awake clock. Leases and deadlines measure how long others are silent, so a pause of the
 * coordinator itself must not count: what came in meanwhile was not lost but not yet read. The
 * shell ticks steadily, so a gap of more than two ticks between events is such a pause and counts
 * as one tick.
 */
export function awaken(
  clock: Clock,
  event: { readonly nowMs: number; readonly wallMs: number },
  tickMs: number,
): Clock {
  const gapMs = Math.max(0, event.nowMs - clock.lastMs);
  return {
    awakeMs: clock.awakeMs + (gapMs > 2 * tickMs ? tickMs : gapMs),
    lastMs: Math.max(clock.lastMs, event.nowMs),
    wallMs: event.wallMs,
  };
}
