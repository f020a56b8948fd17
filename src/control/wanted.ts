import type { Fleet } from "./fleetState.js";
import { hasEnded, type JobRecord } from "./record.js";
import { workersMax, workersMin } from "./work.js";

/** How many workers it takes for all jobs, queued ones too, to run at once, each with its minimum. */
export function workersWanted(fleet: Fleet): number {
  return sum(fleet, workersMin);
}

/** With more than that some would have nothing to do. */
export function workersUsable(fleet: Fleet): number {
  return sum(fleet, workersMax);
}

function sum({ records }: Fleet, of: (record: JobRecord) => number): number {
  return [...records.open.values()]
    .filter(({ state }) => !hasEnded(state) && state !== "cancelling")
    .reduce((total, record) => total + of(record), 0);
}
