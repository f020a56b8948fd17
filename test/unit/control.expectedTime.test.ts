import { expect, test } from "vitest";
import { expectedTime } from "../../src/control/expectedTime.js";
import type { JobRecord } from "../../src/control/record.js";
import { record } from "./fleetDriver.js";

const asked = record("asked", { steps: 400 }).plan;

/** A job of 50 steps that took `seconds` in all, at two seconds a step. */
function ended(name: string, seconds: number, how: Partial<JobRecord> = {}): JobRecord {
  const [startedMs, endedMs] = [1_000, 1_000 + 1000 * seconds];
  const made = { ...record(name, { steps: 50 }), step: 50, usualStepMs: 2_000 };
  return { ...made, state: "done", startedMs, endedMs, ...how };
}

test("a job takes its steps at the newest pace, and what finished ones took beside their steps", () => {
  const older = ended("older", 150, { usualStepMs: 500 });
  const newer = ended("newer", 120, { startedMs: 2_000 });
  expect(asked.settings.batch).toBe(newer.plan.settings.batch);
  // 400 steps of 2 s; beside their steps newer took 19 s and older 125 s, of which the larger is the upper median.
  expect(expectedTime(asked, [newer])).toBe('about 14 min, at the pace of job "newer"');
  expect(expectedTime(asked, [older, newer])).toBe('about 15 min, at the pace of job "newer"');
});

test("the start of a short job counts once, not with every step", () => {
  const short = ended("short", 26, { step: 6, usualStepMs: 1_000 });
  const fewer = { ...asked, schedule: { ...asked.schedule, steps: 60 } };
  // By the whole time it would be 260 s.
  expect(expectedTime(fewer, [short])).toBe('about 80 s, at the pace of job "short"');
});

test("a job that is under way or failed tells the pace, and one of another size nothing", () => {
  const running = ended("running", 1, { state: "training", endedMs: 0 });
  expect(expectedTime(asked, [running])).toBe('about 13 min, at the pace of job "running"');
  const evaluation = ended("evaluation", 60, { step: 0, usualStepMs: undefined });
  const other = ended("other", 60);
  const larger = { ...other.plan, settings: { ...other.plan.settings, crop: 480 } };
  const records = [evaluation, { ...other, plan: larger }];
  expect(expectedTime(asked, records)).toMatch(/^not known before the first steps/);
});
