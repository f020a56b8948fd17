import { expect, test } from "vitest";

import { revived, type JobRecord } from "../../src/control/record.js";
import { record } from "./fleetDriver.js";

const under: JobRecord = {
  ...{ ...record("job"), state: "training", order: 4, attempt: 2, generation: 3, step: 12 },
};

test.each<readonly [string, Partial<JobRecord>, Partial<JobRecord>, boolean]>([
  ["a copy that was cancelled, of a job that trains", { state: "cancelled" }, {}, true],
  ["a copy that is done, of a job some steps before", { state: "done", step: 20 }, {}, true],
  [
    "a copy that failed, of a job that is said to be cancelling",
    { state: "failed" },
    { state: "cancelling" },
    true,
  ],
  ["a copy of more steps", { step: 13 }, {}, true],
  ["a copy of a later generation", { generation: 4, step: 11 }, {}, true],
  ["a copy of a later attempt", { attempt: 3, generation: 0, step: 10 }, { state: "failed" }, true],
  [
    "a copy that was resumed since",
    { state: "queued", order: 5, step: 2 },
    { state: "failed" },
    true,
  ],
  [
    "a copy that ended before the job was resumed",
    { state: "cancelled" },
    { order: 5, state: "queued" },
    false,
  ],
  [
    "a copy that ended before the attempt began",
    { state: "failed", step: 30 },
    { attempt: 3, step: 0 },
    false,
  ],
  ["a copy that does not know of the end", { step: 12 }, { state: "done" }, false],
  ["a copy of fewer steps", { step: 11 }, {}, false],
  ["the same", {}, {}, false],
])("%s counts more than what NATS holds: %s", (_, copy, found, counts) => {
  const kept = { ...under, ...copy };
  const taken = revived(kept, { ...under, ...found });
  expect(taken?.state).toBe(counts ? kept.state : undefined);
  expect(taken?.step).toBe(counts ? kept.step : undefined);
});
