import { expect, test } from "vitest";
import { LineQueue } from "../../coordinator/lineQueue.js";
import { LineRates } from "../../coordinator/lineRates.js";
import type { LogEvent } from "../../coordinator/logLine.js";

const line = (message: string): LogEvent => ({ timeMs: 1, level: "info", message, fields: {} });

/** All that the queue gives, in the order of the turns. */
function drained(queue: LineQueue): readonly string[] {
  const all: string[] = [];
  for (let next = queue.next(); next !== undefined; next = queue.next()) {
    all.push(`${next.job} ${next.event.message}`);
    queue.done();
  }
  return all;
}

test("a job that says very much waits behind its own lines, not the others behind it", () => {
  const queue = new LineQueue(100);
  for (let i = 0; i < 5; i += 1) queue.add("loud", line(String(i)));
  queue.add("calm", line("a"));
  queue.add("calm", line("b"));
  expect(drained(queue)).toEqual([
    ...["loud 0", "calm a", "loud 1", "calm b", "loud 2", "loud 3", "loud 4"],
  ]);
});

test("where there is no room the job with the most lines loses its newest", () => {
  const queue = new LineQueue(4);
  for (const message of ["0", "1", "2", "3"])
    expect(queue.add("loud", line(message))).toBeUndefined();
  expect(queue.add("loud", line("4"))).toBe("loud");
  expect(queue.add("calm", line("a"))).toBe("loud");
  expect(queue.add("other", line("b"))).toBe("loud");
  expect(queue.size).toBe(4);
  expect(drained(queue)).toEqual(["loud 0", "calm a", "other b", "loud 1"]);
});

test("a worker in a loop says so many lines a second, and it is told once how many were dropped", () => {
  const rates = new LineRates();
  let allowed = 0;
  for (let i = 0; i < 1_000; i += 1) if (rates.take("loud", i).isAllowed) allowed += 1;
  // 200 at once, and 20 for the second that went by.
  expect(allowed).toBe(219);
  expect(rates.take("calm", 1_000)).toEqual({ isAllowed: true, dropped: 0 });
  expect(rates.take("loud", 60_000)).toEqual({ isAllowed: true, dropped: 781 });
  expect(rates.take("loud", 60_001)).toEqual({ isAllowed: true, dropped: 0 });
});
