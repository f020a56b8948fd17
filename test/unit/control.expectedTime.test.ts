import { expect, test } from "vitest";
import { expectedTime } from "../../src/control/expectedTime.js";
import type { JobRecord } from "../../src/control/record.js";
import { record } from "./fleetDriver.js";

const asked = record("asked", { steps: 100 }).plan;

function ended(name: string, how: Partial<JobRecord>): JobRecord {
  return { ...record(name, { steps: 50 }), state: "done", step: 50, startedMs: 1_000, ...how };
}

test("a job takes as long per example as the newest finished one of its model and size", () => {
  const older = ended("older", { endedMs: 1_000 + 900_000 });
  const newer = ended("newer", { endedMs: 1_000 + 1_000_000 });
  const perStep = asked.settings.batch / newer.plan.settings.batch;
  const minutes = Math.round((2 * 1_000_000 * perStep) / 60_000);
  expect(expectedTime(asked, [newer, older])).toBe(`about ${minutes} min, at the pace of newer`);
});

test("jobs of another size, or that did not finish, tell nothing", () => {
  const failed = ended("failed", { state: "failed", endedMs: 60_000 });
  const evaluation = ended("evaluation", { step: 0, endedMs: 60_000 });
  const other = ended("other", { endedMs: 60_000 });
  const larger = { ...other.plan, settings: { ...other.plan.settings, crop: 480 } };
  const records = [failed, evaluation, { ...other, plan: larger }];
  expect(expectedTime(asked, records)).toMatch(/^not known before the first steps/);
});
