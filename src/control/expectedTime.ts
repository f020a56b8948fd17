import type { JobPlan } from "../job/plan.js";
import type { JobRecord } from "./record.js";

/**
 * How long a job may take, in words: as the newest finished job of the same model and picture size
 * took per example, its start and evaluations included. Another fleet than then takes another time.
 */
export function expectedTime(plan: JobPlan, records: Iterable<JobRecord>): string {
  const { model, crop, threads } = plan.settings;
  const alike = [...records].filter(({ state, step, plan: { settings } }) => {
    const isSame =
      settings.model === model && settings.crop === crop && settings.threads === threads;
    return state === "done" && step > 0 && isSame;
  });
  const newest = alike.toSorted((a, b) => b.endedMs - a.endedMs)[0];
  if (newest === undefined) {
    return `not known before the first steps: no job of ${model} at ${crop} x ${crop} has ended here`;
  }
  const perExample =
    (newest.endedMs - newest.startedMs) / (newest.step * newest.plan.settings.batch);
  const examples = plan.schedule.steps * plan.settings.batch;
  return `about ${duration(perExample * examples)}, at the pace of ${newest.name}`;
}

function duration(ms: number): string {
  const minutes = ms / 60_000;
  if (minutes < 2) return `${Math.max(1, Math.round(ms / 1000))} s`;
  return minutes < 120 ? `${Math.round(minutes)} min` : `${(minutes / 60).toFixed(1)} h`;
}
