import type { JobPlan } from "../job/plan.js";
import { median } from "./pace.js";
import type { JobRecord } from "./record.js";

/** Of so many finished jobs, the newest, it is looked at what they took beside their steps. */
const restsKept = 5;

/**
 * How long a job may take, in words: its steps at the usual pace of the newest job of the same model and picture size that has made
 * any, per example, and what such jobs took beside their steps, above all to start. Another fleet than then takes another time.
 */
export function expectedTime(plan: JobPlan, records: Iterable<JobRecord>): string {
  const { model, crop, threads } = plan.settings;
  const alike = [...records]
    .filter(({ plan: { settings } }) => {
      return settings.model === model && settings.crop === crop && settings.threads === threads;
    })
    .toSorted((a, b) => b.startedMs - a.startedMs);
  const newest = alike.find(({ usualStepMs }) => usualStepMs !== undefined);
  if (newest?.usualStepMs === undefined) {
    return `not known before the first steps: no job of ${model} at ${crop} x ${crop} has made one here`;
  }
  const perExample = newest.usualStepMs / newest.plan.settings.batch;
  const stepsMs = perExample * plan.settings.batch * plan.schedule.steps;
  const restMs = median(alike.flatMap(besideSteps).slice(0, restsKept)) ?? 0;
  return `about ${duration(stepsMs + restMs)}, at the pace of job "${newest.plan.settings.name}"`;
}

/** The start, evaluations, the export; none of a job of which nothing can be said. */
function besideSteps(record: JobRecord): readonly number[] {
  const { state, usualStepMs, startedMs, endedMs, step } = record;
  if (state !== "done" || usualStepMs === undefined) return [];
  return [Math.max(0, endedMs - startedMs - step * usualStepMs)];
}

function duration(ms: number): string {
  const minutes = ms / 60_000;
  if (minutes < 2) return `${Math.max(1, Math.round(ms / 1000))} s`;
  return minutes < 120 ? `${Math.round(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
}
