import type { Transition } from "./fleetState.js";
import { release, setAside } from "./participation.js";
import { changeParticipant, changeRun, log, recordOf, runOf, withEntry } from "./transition.js";

/** A worker that failed so often to join is not asked again in this attempt. */
const failuresMax = 6;

/**
 * A joiner did not get there in time. It tries again, each time twice as many steps later, so that
 * even one that always fails costs the others next to nothing; every other time with a new child.
 */
export function joinFailed(t: Transition, workerId: string, why: string): Transition {
  const { joins } = runOf(t);
  const { step } = recordOf(t);
  const incarnation = t.fleet.members.get(workerId)?.incarnation ?? "";
  const failures = (joins.get(incarnation)?.failures ?? 0) + 1;
  const notBefore = step + 2 ** failures;
  const failed = log(
    changeRun(t, { joins: withEntry(joins, incarnation, { failures, notBefore }) }),
    "warn",
    `${workerId} could not join: ${why}`,
    { worker: workerId, step },
  );
  if (failures >= failuresMax) {
    return setAside(failed, workerId, `it could not join ${failures} times: ${why}`);
  }
  return failures % 2 === 0
    ? release(failed, workerId, why)
    : changeParticipant(failed, workerId, { stage: { kind: "ready" } });
}
