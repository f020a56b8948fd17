import type { Fleet, Run } from "./fleetState.js";
import type { JobRecord } from "./record.js";
import { recordNamed } from "./transition.js";
import { nextWork, workersMin } from "./work.js";

/** How many workers the job lacks of its minimum, those that are on their way to it not counted in. */
export function lacking(fleet: Fleet, job: string): number {
  const record = recordNamed(fleet, job);
  const run = fleet.runs.get(job);
  if (run === undefined) return record.state === "queued" ? workersMin(record) : 0;
  return hasRoom(fleet, run) ? Math.max(0, workersMin(record) - usable(fleet, run, record)) : 0;
}

/** Whether another worker would be of use to the job under way. */
export function hasRoom(fleet: Fleet, run: Run): boolean {
  if (run.cancelled) return false;
  switch (run.phase.kind) {
    case "gathering":
    case "loading":
      return true;
    case "boundary":
    case "parting":
    case "joining":
    case "round":
      return nextWork(recordNamed(fleet, run.job)).kind === "round";
    case "judging":
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

/** Before the pin, only the largest group of one arithmetic of those that are ready can start together. */
function usable({ members }: Fleet, run: Run, { pin, plan }: JobRecord): number {
  if (pin !== undefined || plan.settings.mixedDevices) return staying(run);
  const groups = new Map<string, number>();
  for (const { workerId, stage, probe } of run.participants.values()) {
    if (stage.kind !== "ready") continue;
    const key = JSON.stringify([members.get(workerId)?.hello.numerics, probe]);
    groups.set(key, (groups.get(key) ?? 0) + 1);
  }
  const counts = [...groups.values()];
  const ready = counts.reduce((sum, count) => sum + count, 0);
  return staying(run) - ready + Math.max(0, ...counts);
}
