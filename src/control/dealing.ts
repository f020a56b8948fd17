import { assert } from "../job/problem.js";
import { deal, dealMissing } from "../plan/deal.js";
import type { Range } from "../plan/tree.js";
import type { Pace } from "./fleetState.js";
import { speedsOf } from "./pace.js";

/**
 * Which ranges of shards the members of a round get. Measured speeds waver by themselves, and
 * ranges that move cost the exchange more nodes of the tree, so a deal is kept until another one is
 * clearly better. Whoever has been dealt a range keeps it for the whole round.
 */

/** A new deal must take this much less time than the present one. */
const clearlyBetter = 0.9;

export type Deal = ReadonlyMap<string, readonly Range[]>;

/** A range for each member, in rank order. */
export function dealAll(pace: Pace, members: readonly string[], shardCount: number): Deal {
  const speeds = speedsOf(pace, members);
  const best = deal(shardCount, speeds);
  const counts = members.map((id) => pace.shares.get(id) ?? 0);
  const covers = counts.reduce((sum, one) => sum + one, 0) === shardCount;
  const known = members.every((id) => pace.shares.has(id));
  const bestMs = slowest(best.map(lengthOf), speeds);
  const isKept = covers && known && bestMs >= clearlyBetter * slowest(counts, speeds);
  const ranges = isKept ? consecutive(counts) : best;
  return new Map(
    members.map((id, rank) => [
      id,
      [ranges[rank]].flatMap((range) => range ?? []).filter(lengthOf),
    ]),
  );
}

/** The members keep what they have been dealt and take over what is missing. */
export function dealRest(
  pace: Pace,
  members: readonly string[],
  kept: Deal,
  missing: readonly Range[],
): Deal {
  const held = members.map((id) => kept.get(id) ?? []);
  const taken = dealMissing(missing, held.map(countOf), speedsOf(pace, members));
  return new Map(members.map((id, rank) => [id, [...(held[rank] ?? []), ...(taken[rank] ?? [])]]));
}

/** The shards of a round for which `isNeeded`, and that none of the ranges hold. */
export function uncovered(
  shardCount: number,
  kept: Deal,
  isNeeded: (shard: number) => boolean,
): readonly Range[] {
  const covered = new Set([...kept.values()].flat().flatMap(shardsOf));
  const missing: Range[] = [];
  for (let shard = 0; shard < shardCount; shard += 1) {
    if (covered.has(shard) || !isNeeded(shard)) continue;
    const last = missing.at(-1);
    if (last?.end === shard) missing[missing.length - 1] = { first: last.first, end: shard + 1 };
    else missing.push({ first: shard, end: shard + 1 });
  }
  return missing;
}

/** How many shards each member has, for the next deal to be alike. */
export function sharesOf(dealt: Deal): Pace["shares"] {
  return new Map([...dealt].map(([id, ranges]) => [id, countOf(ranges)]));
}

export function countOf(ranges: readonly Range[]): number {
  return ranges.reduce((sum, range) => sum + lengthOf(range), 0);
}

export function shardsOf({ first, end }: Range): readonly number[] {
  return Array.from({ length: end - first }, (_, i) => first + i);
}

function lengthOf({ first, end }: Range): number {
  return end - first;
}

function slowest(counts: readonly number[], speeds: readonly number[]): number {
  assert(counts.length === speeds.length, `${counts.length} shares, ${speeds.length} speeds`);
  return Math.max(...counts.map((count, rank) => count / (speeds[rank] ?? 1)));
}

function consecutive(counts: readonly number[]): readonly Range[] {
  let first = 0;
  return counts.map((count) => {
    const range = { first, end: first + count };
    first = range.end;
    return range;
  });
}
