import type { Pace } from "./fleetState.js";
import type { RoundKind } from "./message.js";
import { withEntry } from "./transition.js";

/** How fast steps and workers are, smoothed over the last few. */

export const noPace: Pace = {
  stepMs: undefined,
  commitGapsMs: [],
  committedMs: undefined,
  exchangeMs: undefined,
  shardMs: undefined,
  evaluationMs: new Map(),
  speeds: new Map(),
  shares: new Map(),
};

/** Weight of the newest figure. */
const newest = 0.3;

export function smoothed(before: number | undefined, figure: number): number {
  return before === undefined ? figure : before + newest * (figure - before);
}

const gapsKept = 15;

/** Takes a commit; the first has a gap from the start of its round. */
export function committed(pace: Pace, awakeMs: number, roundMs: number): Pace {
  const { stepMs, committedMs, commitGapsMs } = pace;
  const gapMs = committedMs === undefined ? roundMs : awakeMs - committedMs;
  return {
    ...pace,
    stepMs: smoothed(stepMs, roundMs),
    commitGapsMs: [...commitGapsMs, gapMs].slice(-gapsKept),
    committedMs: awakeMs,
  };
}

/** What a step usually takes, by the median of the newest; undefined before the first. */
export function usualStepMs({ commitGapsMs }: Pace): number | undefined {
  return median(commitGapsMs);
}

export function median(figures: readonly number[]): number | undefined {
  return figures.toSorted((a, b) => a - b)[figures.length >> 1];
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

/** Takes what a worker says about its part of an evaluation. */
export function evaluated(
  pace: Pace,
  workerId: string,
  figures: { readonly shards: number; readonly computeMs: number },
): Pace {
  if (figures.shards === 0) return pace;
  const unitMs = smoothed(pace.evaluationMs.get(workerId), figures.computeMs / figures.shards);
  return { ...pace, evaluationMs: withEntry(pace.evaluationMs, workerId, unitMs) };
}

/** Without the figures of workers that are gone; how long a shard takes stays known when all are. */
export function paceOf(pace: Pace, workers: ReadonlySet<string>): Pace {
  const kept = <Figure>(figures: ReadonlyMap<string, Figure>): ReadonlyMap<string, Figure> =>
    [...figures.keys()].every((id) => workers.has(id))
      ? figures
      : new Map([...figures].filter(([id]) => workers.has(id)));
  const speeds = kept(pace.speeds);
  const shardMs = speeds.size === 0 ? pace.shardMs : 1 / Math.min(...speeds.values());
  const others = { evaluationMs: kept(pace.evaluationMs), shares: kept(pace.shares) };
  return { ...pace, ...others, speeds, shardMs };
}

/** What one of the worker's own shards usually takes; undefined before the first figure. */
export function usualMs(pace: Pace, round: RoundKind, workerId: string): number | undefined {
  if (round === "evaluation") return pace.evaluationMs.get(workerId);
  const speed = pace.speeds.get(workerId);
  return speed === undefined ? undefined : 1 / speed;
}

/** As above of the slowest worker there is a figure of. */
export function slowestMs(pace: Pace, round: RoundKind): number | undefined {
  if (round === "training") return pace.shardMs;
  return pace.evaluationMs.size === 0 ? undefined : Math.max(...pace.evaluationMs.values());
}

/** The speeds of the members in rank order; one not measured yet counts as the mean of the others. */
export function speedsOf(pace: Pace, members: readonly string[]): readonly number[] {
  const known = members.flatMap((id) => pace.speeds.get(id) ?? []);
  const mean = known.length === 0 ? 1 : known.reduce((sum, one) => sum + one, 0) / known.length;
  return members.map((id) => pace.speeds.get(id) ?? mean);
}
