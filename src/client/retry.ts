/** Waits between attempts, and which failures are worth one. */
import { setTimeout as sleep } from "node:timers/promises";
import { UnreachableError } from "../link/status.js";

/** 0.2 s, doubling to 5 s. */
const firstWaitMs = 200;
const longestWaitMs = 5_000;

/** How long a coordinator may be away before a stream that was under way gives up. */
const patienceMs = 120_000;

/**
 * Runs `open` again and again as long as it fails by losing the coordinator after having had it. `open` calls `onOpen` once
 * the coordinator has answered, which starts the patience afresh. A first connection that fails is not repeated: a wrong
 * address is told at once. An abort ends the stream.
 */
export async function* reconnecting<T>(
  open: (onOpen: () => void) => AsyncIterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  let lostAtMs: number | undefined;
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
