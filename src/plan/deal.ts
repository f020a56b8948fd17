import { assert } from "../job/problem.js";
import type { Range } from "./tree.js";

/**
 * Who computes which shards. Speeds are in any one unit, such as examples per second; a rank of
 * speed 0 gets nothing. Each shard goes to the rank that would be done with it first, which
 * minimises the time of the slowest rank; of equals the earlier rank gets more.
 */

/** A contiguous range of shards per rank, in rank order, that together cover all; may be empty. */
export function deal(shardCount: number, speeds: readonly number[]): readonly Range[] {
  const counts = shares(
    shardCount,
    speeds.map(() => 0),
    speeds,
  );
  let first = 0;
  return counts.map((count) => {
    const range = { first, end: first + count };
    first = range.end;
    return range;
  });
}

/**
 * Deals the shards that nobody holds, given how many each rank holds already, so that own and
 * taken-over shards together are done soonest. Per rank its ranges, left to right, none empty.
 */
export function dealMissing(
  missing: readonly Range[],
  held: readonly number[],
  speeds: readonly number[],
): readonly (readonly Range[])[] {
  const left = joined(missing);
  const total = left.reduce((sum, { first, end }) => sum + end - first, 0);
  return shares(total, held, speeds).map((count) => takeFirst(left, count));
}

/** How many of `shardCount` shards each rank gets on top of what it holds. */
function shares(
  shardCount: number,
  held: readonly number[],
  speeds: readonly number[],
): readonly number[] {
  assert(held.length === speeds.length, `${held.length} loads, ${speeds.length} speeds`);
  assert(
    speeds.every((speed) => speed >= 0 && Number.isFinite(speed)) &&
      (shardCount === 0 || speeds.some((speed) => speed > 0)),
    `no rank of ${speeds.length} can take ${shardCount} shards`,
  );
  const loads = [...held];
  for (let shard = 0; shard < shardCount; shard += 1) {
    const times = speeds.map((speed, rank) =>
      speed > 0 ? ((loads[rank] ?? 0) + 1) / speed : Infinity,
    );
    const soonest = times.indexOf(Math.min(...times));
    loads[soonest] = (loads[soonest] ?? 0) + 1;
  }
  return loads.map((load, rank) => load - (held[rank] ?? 0));
}

/** The same shards as ranges in order, neighbours joined, none empty. */
function joined(ranges: readonly Range[]): Range[] {
  const result: Range[] = [];
  const ordered = ranges
    .filter(({ first, end }) => first < end)
    .toSorted((a, b) => a.first - b.first);
  for (const { first, end } of ordered) {
    const last = result.at(-1);
    assert(last === undefined || last.end <= first, `shard ${first} is missing twice`);
    if (last?.end === first) result[result.length - 1] = { first: last.first, end };
    else result.push({ first, end });
  }
  return result;
}

/** Removes the first `count` shards from `ranges` and returns them. */
function takeFirst(ranges: Range[], count: number): readonly Range[] {
  const taken: Range[] = [];
  let wanted = count;
  for (let next = ranges[0]; wanted > 0 && next !== undefined; next = ranges[0]) {
    const end = Math.min(next.end, next.first + wanted);
    taken.push({ first: next.first, end });
    wanted -= end - next.first;
    if (end === next.end) ranges.shift();
    else ranges[0] = { first: end, end: next.end };
  }
  return taken;
}
