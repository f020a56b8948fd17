import { afterEach, expect, test } from "vitest";
import { StatusBoard } from "../../coordinator/statusBoard.js";
import type { Wakeup } from "../../coordinator/wakeup.js";
import { jobStatus } from "../../src/control/view.js";
import type { JobStatus } from "../../src/wire/training.js";
import { until } from "../support/fleetProcesses.js";
import { FleetDriver, record } from "./fleetDriver.js";

const stop: AbortController[] = [];

afterEach(() => {
  for (const one of stop.splice(0)) one.abort();
});

function board() {
  const driver = new FleetDriver();
  const watching = new Set<Wakeup>();
  const signal = new AbortController();
  stop.push(signal);
  const counts = { looks: 0, wakes: 0 };
  driver.happens({ kind: "submit", record: record("job") });
  const made = new StatusBoard({
    look: (job) => {
      counts.looks += 1;
      return driver.fleet.records.has(job) ? jobStatus(driver.fleet, job) : undefined;
    },
    version: (job) => driver.fleet.records.get(job),
    watch: (wakeup) => {
      watching.add(wakeup);
      return () => watching.delete(wakeup);
    },
    signal: signal.signal,
  });
  const happen = (step: () => void): void => {
    step();
    for (const wakeup of watching) wakeup.wake();
  };
  return { driver, counts, happen, board: made, watching, signal: signal.signal };
}

/** Reads a stream to its end. */
function reader(stream: AsyncIterable<JobStatus>): {
  readonly seen: JobStatus[];
  readonly ended: Promise<void>;
} {
  const seen: JobStatus[] = [];
  const ended = (async () => {
    for await (const status of stream) seen.push(status);
  })();
  return { seen, ended };
}

test("however many watch and however much happens, a status is made a few times a second", async () => {
  const { driver, counts, happen, board: shown, signal } = board();
  const readers = Array.from({ length: 300 }, () => reader(shown.watch("job", signal)));
  await until("all have one", () => readers.every(({ seen }) => seen.length === 1), 20_000);
  expect(counts.looks).toBeLessThan(300);
  const before = counts.looks;
  const fromMs = performance.now();
  while (performance.now() - fromMs < 1_000) {
    happen(() => driver.happens({ kind: "tick" }));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const spentMs = performance.now() - fromMs;
  expect(counts.looks - before).toBeLessThanOrEqual(spentMs / 250 + 1);
  expect(readers.map(({ seen }) => seen.length)).toEqual(readers.map(() => 1));
});

test("all who watch are shown each change, the classes once, and the end", async () => {
  const { driver, happen, board: shown, watching, signal } = board();
  const readers = [reader(shown.watch("job", signal)), reader(shown.watch("job", signal))];
  await until("both have one", () => readers.every(({ seen }) => seen.length === 1), 20_000);
  happen(() => driver.hello("a"));
  await until("it has started", () => readers.every(({ seen }) => seen.length >= 2), 20_000);
  happen(() => driver.happens({ kind: "cancel", job: "job" }));
  happen(() => driver.released("a"));
  await Promise.all(readers.map(({ ended }) => ended));
  for (const { seen } of readers) {
    expect(seen.map(({ state }) => state)).toEqual(["queued", "starting", "cancelled"]);
    expect(seen.map(({ classes }) => classes.length)).toEqual([2, 0, 0]);
  }
  await until("nobody looks any more", () => watching.size === 0, 20_000);
});

test("who begins to watch is not shown what was before the last thing asked of the job", async () => {
  const { driver, board: shown, signal } = board();
  const first = reader(shown.watch("job", signal));
  await until("it has one", () => first.seen.length === 1, 20_000);
  driver.happens({ kind: "cancel", job: "job" });
  const second = reader(shown.watch("job", signal));
  await second.ended;
  expect(second.seen.map(({ state }) => state)).toEqual(["cancelled"]);
  await first.ended;
});
