/** Waits between attempts, and which failures are worth one. */
import { setTimeout as sleep } from "node:timers/promises";
import { UnreachableError } from "../link/status.js";

/** 0.1 s, doubling to 1 s: a coordinator that starts again is back within a second or two. */
const firstWaitMs = 100;
const longestWaitMs = 1_000;

/** The same for a call with one answer, which somebody waits for. */
const callPatienceMs = 15_000;

/** How long a coordinator may be away before a stream that was under way gives up. */
const patienceMs = 120_000;

/**
 * Runs `open` again and again as long as it fails by losing the coordinator after having had it. `open` calls `onOpen` once
 * the coordinator has answered, which starts the patience afresh. A first connection that fails is not repeated unless the
 * coordinator `wasReached` before: a wrong address is told at once. An abort ends the stream.
 */
export async function* reconnecting<T>(
  open: (onOpen: () => void) => AsyncIterable<T>,
  signal: AbortSignal | undefined,
  wasReached: boolean,
): AsyncGenerator<T> {
  let lostAtMs = wasReached ? performance.now() : undefined;
  let waitMs = firstWaitMs;
  for (;;) {
    let connected = false;
    try {
      yield* open(() => (connected = true));
      return;
    } catch (error) {
      const nowMs = performance.now();
      if (isTrue(connected)) {
        lostAtMs = nowMs;
        waitMs = firstWaitMs;
      }
      if (!(error instanceof UnreachableError)) throw error;
      if (lostAtMs === undefined || nowMs - lostAtMs > patienceMs) throw error;
    }
    if (!(await waited(waitMs, signal))) return;
    waitMs = Math.min(waitMs * 2, longestWaitMs);
  }
}

/**
 * Makes a call that may be made twice again and again as long as the coordinator is not reached, for a while. `wasReached` says
 * whether it ever was: a wrong address is told at once.
 */
export async function repeating<T>(call: () => Promise<T>, wasReached: () => boolean): Promise<T> {
  const endsAtMs = performance.now() + callPatienceMs;
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
    try {
      return await call();
    } catch (error) {
      const mayRepeat = error instanceof UnreachableError && wasReached();
      if (!mayRepeat || performance.now() + waitMs > endsAtMs) throw error;
    }
    await sleep(waitMs);
  }
}

/** A call, since the compiler does not see that a callback changes the flag. */
function isTrue(flag: boolean): boolean {
  return flag;
}

/** False when the signal has aborted. */
async function waited(ms: number, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
    return true;
  } catch {
    return false;
  }
}
