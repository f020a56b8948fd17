import type { Pace } from "./fleetState.js";
import { speedsOf } from "./pace.js";

/** What the number of workers, and their speeds, cost a job. */

/** A worker that takes so many times as long for a shard as the median is named. */
const stragglerTimes = 1.5;

/**
 * How much of the members' time computing takes, 0 to 1: shards are whole, so the last to be done
 * lets the others wait. 32 shards on 5 equal workers are at best 7, 7, 6, 6, 6, which is 0.91.
 * Undefined before the members' shards are dealt.
 */
export function usage(pace: Pace, members: readonly string[]): number | undefined {
  const counts = members.flatMap((id) => pace.shares.get(id) ?? []);
  const shards = counts.reduce((sum, count) => sum + count, 0);
  if (counts.length < members.length || shards === 0) return undefined;
  const speeds = speedsOf(pace, members);
  const busyMs = Math.max(...counts.map((count, rank) => count / (speeds[rank] ?? 1)));
  return shards / speeds.reduce((sum, speed) => sum + speed, 0) / busyMs;
}

/** The slowest member, and how many times as long as the median it takes for a shard, if that is much. */
export function straggler(
  pace: Pace,
  members: readonly string[],
): { readonly workerId: string; readonly times: number } | undefined {
  const measured = members
    .flatMap((workerId) => {
      const speed = pace.speeds.get(workerId);
      return speed === undefined ? [] : [{ workerId, speed }];
    })
    .toSorted((a, b) => b.speed - a.speed);
  // Of two the faster one is the measure.
  const median = measured[Math.floor((measured.length - 1) / 2)];
  const slowest = measured.at(-1);
  if (median === undefined || slowest === undefined) return undefined;
  const times = median.speed / slowest.speed;
  return times > stragglerTimes ? { workerId: slowest.workerId, times } : undefined;
}
