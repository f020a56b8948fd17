import { expect, test } from "vitest";
import { faultKinds, schedule, type ScheduleOptions } from "../chaos/schedule.js";

const options: ScheduleOptions = {
  ...{ seed: 7, kinds: faultKinds, workers: 3, everyMs: 6000, untilMs: 3_600_000 },
  ...{ countMax: 1_000_000, longestMs: 15_000 },
};

test("the same seed gives the same faults, another seed others", () => {
  expect(schedule(options)).toEqual(schedule(options));
  expect(schedule({ ...options, seed: 8 })).not.toEqual(schedule(options));
});

test("faults come in order, as often as asked for, and never sooner than two fifths of the mean", () => {
  const times = schedule(options).map(({ atMs }) => atMs);
  const gaps = times.map((atMs, i) => atMs - (times[i - 1] ?? 0));
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(2399);
  expect(times.length).toBeGreaterThan(540);
  expect(times.length).toBeLessThan(660);
  expect(times.at(-1)).toBeLessThan(options.untilMs);
});

test("each kind comes about as often as any other, to every worker", () => {
  const faults = schedule(options);
  for (const kind of faultKinds) {
    const own = faults.filter((fault) => fault.kind === kind);
    expect(Math.abs(own.length - faults.length / faultKinds.length), kind).toBeLessThan(4);
    expect(new Set(own.map(({ worker }) => worker)).size, kind).toBe(3);
  }
});

test("a short run has as many kinds as faults", () => {
  const faults = schedule({ ...options, untilMs: 60_000 });
  expect(new Set(faults.map(({ kind }) => kind)).size).toBe(faults.length);
});

test("no fault falls on a worker, the coordinator or NATS while another is taking it away", () => {
  const busy = new Map<string, number>();
  for (const { atMs, kind, worker, ms } of schedule({ ...options, everyMs: 1000 })) {
    const target = /^(coordinator|nats-(kill|stop))/.exec(kind)?.[0] ?? `${worker}`;
    const name = target.startsWith("nats") ? "nats" : target;
    expect(busy.get(name) ?? 0, `${kind} at ${atMs}`).toBeLessThanOrEqual(atMs + 1);
    busy.set(name, atMs + ms);
  }
});

test("the number and the length of faults have bounds", () => {
  const faults = schedule({ ...options, countMax: 200, longestMs: 2000, kinds: ["worker-stop"] });
  expect(faults.length).toBe(200);
  expect(Math.max(...faults.map(({ ms }) => ms))).toBe(2000);
  expect(schedule({ ...options, kinds: [] })).toEqual([]);
});
