import type { Fleet, Run } from "./fleetState.js";
import { recordNamed } from "./transition.js";
import { nextWork, workersMin } from "./work.js";

/** How many workers the job lacks of its minimum, those that are on their way to it not counted in. */
export function lacking(fleet: Fleet, job: string): number {
  const record = recordNamed(fleet, job);
  const run = fleet.runs.get(job);
  if (run === undefined) return record.state === "queued" ? workersMin(record) : 0;
  return hasRoom(fleet, run) ? Math.max(0, workersMin(record) - staying(run)) : 0;
}

/** Whether another worker would be of use to the job under way. */
export function hasRoom(fleet: Fleet, run: Run): boolean {
  if (run.cancelled) return false;
  switch (run.phase.kind) {
    case "gathering":
    case "loading":
      return true;
    case "boundary":
    case "joining":
    case "round":
      return nextWork(recordNamed(fleet, run.job)).kind === "round";
    case "saving":
    case "releasing":
    case "recovering":
      return false;
  }
}

/** How many take part that are not about to be given up. */
export function staying({ participants, yields }: Run): number {
  return participants.size - yields.size;
}
