import type { Fleet, Run } from "./fleetState.js";
import { recordNamed } from "./transition.js";
import { nextWork, workersMin } from "./work.js";

/** How many workers the job lacks of its minimum, those that are on their way to it not counted in. */
export function lacking(fleet: Fleet, job: string): number {
  const record = recordNamed(fleet, job);
  const run = fleet.runs.get(job);
  if (run === undefined) return record.state === "queued" ? workersMin(record) : 0;
  if (!hasRoom(fleet, run)) return 0;
  const staying = [...run.participants.keys()].filter((id) => !run.yields.has(id));
  return Math.max(0, workersMin(record) - usable(fleet, run, staying));
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
export function remaining({ participants, yields }: Run): number {
  return participants.size - yields.size;
}

/**
 * How many of the job's workers could start together: before the pin, of those that are ready only
 * the largest group of one arithmetic.
 */
export function usable(fleet: Fleet, run: Run, workers: readonly string[]): number {
  const { pin, plan } = recordNamed(fleet, run.job);
  if (pin !== undefined || plan.settings.mixedDevices) return workers.length;
  const groups = new Map<string, number>();
  for (const workerId of workers) {
    const { stage, probe } = run.participants.get(workerId) ?? {};
    if (stage?.kind !== "ready") continue;
    const key = JSON.stringify([fleet.members.get(workerId)?.hello.numerics, probe]);
    groups.set(key, (groups.get(key) ?? 0) + 1);
  }
  const counts = [...groups.values()];
  const ready = counts.reduce((sum, count) => sum + count, 0);
  return workers.length - ready + Math.max(0, ...counts);
}
