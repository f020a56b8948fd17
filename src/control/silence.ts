import type { Fleet } from "./fleetState.js";

/** A worker's process for the job that says nothing for so long is stopped or blocked. */
export const childSilentMs = 5_000;

/** Whether the worker's process was silent for too long when it was last heard of. */
export function isChildSilent({ members }: Fleet, workerId: string): boolean {
  return (members.get(workerId)?.beat?.childSilentMs ?? -1) >= childSilentMs;
}

/** Whether it has been all the time since it was asked for something, so long ago at least. */
export function isSilentSince(fleet: Fleet, workerId: string, askedMs: number): boolean {
  const { beatMs = 0 } = fleet.members.get(workerId) ?? {};
  return beatMs - askedMs >= childSilentMs && isChildSilent(fleet, workerId);
}
