/** A coordinator that starts again is soon back; one that has been away longer is not waited for as closely. */
const eagerMs = 60_000;
const eagerDelayMs = 300;
const patientDelayMs = 3_000;

/**
 * How long to wait before the next try to reach a coordinator, without one for `aloneMs`. `chance`,
 * from 0 to 1, spreads a fleet's workers over a third of the time and more.
 */
export function reconnectDelayMs(aloneMs: number, chance: number): number {
  const most = aloneMs < eagerMs ? eagerDelayMs : patientDelayMs;
  return Math.round(most * (0.3 + 0.7 * chance));
}
