import type { Clock } from "./fleetState.js";

/**
 * The awake clock. Leases and deadlines measure how long others are silent, so a pause of the
 * coordinator itself must not count: what came in meanwhile was not lost but not yet read. The
 * shell ticks steadily, so a gap of more than two ticks between events is such a pause. It counts
 * as one tick, and only at the next one: by then what waited has been read, so that nobody's time
 * runs out because we did not listen.
 */
export function awaken(
  clock: Clock,
  event: { readonly kind: string; readonly nowMs: number; readonly wallMs: number },
  tickMs: number,
): Clock {
  const gapMs = Math.max(0, event.nowMs - clock.lastMs);
  const isPause = gapMs > 2 * tickMs;
  const isDue = event.kind === "tick" && !isPause;
  return {
    awakeMs: clock.awakeMs + (isPause ? 0 : gapMs) + (isDue ? clock.owedMs : 0),
    owedMs: isPause ? tickMs : isDue ? 0 : clock.owedMs,
    lastMs: Math.max(clock.lastMs, event.nowMs),
    wallMs: event.wallMs,
  };
}
