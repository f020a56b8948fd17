import { expect, test } from "vitest";
import type { Commit } from "../chaos/ledger.js";
import { pausesOf, type Done } from "../chaos/measure.js";
import { pauseLine } from "../chaos/report.js";

function fault(startMs: number, endMs: number | undefined, hit = true): Done {
  return { kind: "grpc-cut", worker: 0, hit, startMs, endMs };
}

/** A commit every 100 ms, but for the times given. */
function commits(
  untilMs: number,
  ...without: readonly (readonly [number, number])[]
): readonly Commit[] {
  const times = Array.from({ length: untilMs / 100 }, (_, i) => 100 * i);
  return times
    .filter((ms) => !without.some(([from, to]) => ms > from && ms < to))
    .map((atMs, i) => ({ step: i + 1, atMs }));
}

test("faults that meet are counted apart from faults that come alone", () => {
  const faults = [fault(10_050, 12_000), fault(40_050, 44_000), fault(42_050, 43_000)];
  const told = commits(100_000, [10_000, 13_000], [40_000, 47_000]);
  expect(pausesOf(faults, told)).toEqual({
    single: { count: 1, medianMs: 3000 },
    overlapping: { count: 2, medianMs: 7000 },
  });
});

test("a fault meets another whose aftermath is not over, and no later one", () => {
  const told = commits(100_000);
  const [first, second] = [fault(10_000, 12_000), fault(19_900, 20_000)];
  expect(pausesOf([first, second], told).overlapping.count).toBe(2);
  expect(pausesOf([second, first], told).overlapping.count).toBe(2);
  const later = fault(20_100, 20_200);
  expect(pausesOf([first, later], told).single.count).toBe(2);
  expect(pausesOf([later, first], told).single.count).toBe(2);
});

test("a fault that lasted to the end met all that came after it", () => {
  const faults = [fault(10_000, undefined), fault(60_000, 60_500)];
  expect(pausesOf(faults, commits(100_000)).overlapping.count).toBe(2);
});

test("a fault that hit nothing meets nobody, and has no pause", () => {
  const faults = [fault(10_000, 12_000), fault(11_000, 12_000, false)];
  expect(pausesOf(faults, commits(100_000))).toEqual({
    single: { count: 1, medianMs: 100 },
    overlapping: { count: 0, medianMs: undefined },
  });
});

test("a fault without a commit after it has no pause", () => {
  const faults = [fault(10_000, 12_000), fault(90_000, 90_100)];
  expect(pausesOf(faults, commits(50_000)).single).toEqual({ count: 1, medianMs: 100 });
});

test("the report says both, and what is unknown", () => {
  const pauses = {
    single: { count: 3, medianMs: 1234 },
    overlapping: { count: 0, medianMs: undefined },
  };
  expect(pauseLine(pauses)).toBe(
    "median pause 1.23 s after 3 single faults, unknown after 0 overlapping ones",
  );
});
