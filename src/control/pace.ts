import { assert } from "../job/problem.js";
import { deal } from "../plan/deal.js";
import type { Range } from "../plan/tree.js";
import type { Pace } from "./fleetState.js";
import { withEntry } from "./transition.js";

/**
 * How fast steps and workers are, smoothed over the last few, and the deal that follows from it.
 * Speeds waver by themselves, and ranges that move leave the nodes of the tree that cost least to
 * exchange, so a deal is kept until another one is clearly better.
 */

export const noPace: Pace = {
  stepMs: undefined,
  exchangeMs: undefined,
  shardMs: undefined,
  speeds: new Map(),
  shares: new Map(),
};

/** Weight of the newest figure. */
const newest = 0.3;

/** A new deal must take this much less time than the present one. */
const clearlyBetter = 0.9;

export function smoothed(before: number | undefined, figure: number): number {
  return before === undefined ? figure : before + newest * (figure - before);
}

/** Takes what a worker says about its part of a round of training. */
export function reported(
  pace: Pace,
  workerId: string,
  figures: { readonly shards: number; readonly computeMs: number; readonly exchangeMs: number },
): Pace {
  const exchangeMs = smoothed(pace.exchangeMs, figures.exchangeMs);
  if (figures.shards === 0 || figures.computeMs <= 0) return { ...pace, exchangeMs };
  const speed = smoothed(pace.speeds.get(workerId), figures.shards / figures.computeMs);
  const speeds = withEntry(pace.speeds, workerId, speed);
  return { ...pace, exchangeMs, speeds, shardMs: 1 / Math.min(...speeds.values()) };
}

/** The speeds of the members in rank order; one not measured yet counts as the mean of the others. */
export function speedsOf(pace: Pace, members: readonly string[]): readonly number[] {
  const known = members.flatMap((id) => pace.speeds.get(id) ?? []);
  const mean = known.length === 0 ? 1 : known.reduce((sum, one) => sum + one, 0) / known.length;
  return members.map((id) => pace.speeds.get(id) ?? mean);
}

/** A range for each member, in rank order. */
export function dealRound(
  pace: Pace,
  members: readonly string[],
  shardCount: number,
): readonly Range[] {
  const speeds = speedsOf(pace, members);
  const best = deal(shardCount, speeds);
  const counts = members.map((id) => pace.shares.get(id) ?? 0);
  const covers = counts.reduce((sum, one) => sum + one, 0) === shardCount;
  const known = members.every((id) => pace.shares.has(id));
  const bestMs = slowest(best.map(lengthOf), speeds);
  if (!covers || !known || bestMs < clearlyBetter * slowest(counts, speeds)) return best;
  return consecutive(counts);
}

/** Remembers a deal, so that the next one may be alike. */
export function dealt(pace: Pace, members: readonly string[], ranges: readonly Range[]): Pace {
  const shares = new Map(
    members.map((id, rank) => [id, lengthOf(ranges[rank] ?? { first: 0, end: 0 })]),
  );
  return { ...pace, shares };
}

export function lengthOf({ first, end }: Range): number {
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
