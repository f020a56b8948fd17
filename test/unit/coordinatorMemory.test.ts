import { expect, test } from "vitest";
import { withOpenLogs } from "../../coordinator/memory.js";
import { record } from "./fleetDriver.js";

test("a start reads the logs of jobs that have not ended, and of those that ended last", () => {
  const ended = Array.from({ length: 300 }, (_, i) => ({
    ...record(`ended-${i}`),
    ...{ state: "done" as const, attempt: 1, endedMs: 1000 + i },
  }));
  const open = [
    { ...record("training"), state: "training" as const, attempt: 2 },
    { ...record("suspended"), attempt: 1 },
  ];
  const names = withOpenLogs([...ended, record("new"), ...open]).map(({ name }) => name);
  expect(names).toEqual([
    "training",
    "suspended",
    ...ended
      .slice(-50)
      .reverse()
      .map(({ name }) => name),
  ]);
});
