import type { Blamed } from "./examining.js";
import { fail } from "./ending.js";
import type { Transition } from "./fleetState.js";
import { close, distrust, memberIds, strike } from "./participation.js";
import { beginAttempt } from "./starting.js";
import {
  changeParticipant,
  changeRun,
  log,
  note,
  recordOf,
  runOf,
  withEntry,
  withoutKey,
} from "./transition.js";

/** What becomes of workers whose numbers are wrong. */

/** After so many rewinds because of two states, one of which was wrong, the job is given up. */
const tiesMax = 3;

/**
 * A worker that computed wrongly takes no part in the job again until it or the coordinator starts
 * anew, or the job is resumed; the last one has a few more tries.
 */
export function exclude(t: Transition, { workerId, incarnation, why, shard }: Blamed): Transition {
  const isGone =
    incarnation !== undefined && incarnation !== t.fleet.members.get(workerId)?.incarnation;
  const who = isGone
    ? `the process that ${workerId} had before was wrong`
    : `${workerId} is set aside`;
  const told = log(t, "warn", `${who}: ${why}`, {
    worker: workerId,
    step: recordOf(t).step,
    ...(shard !== undefined && { shard }),
  });
  // The one in its place has computed nothing wrongly, and is asked as any other.
  if (isGone) return told;
  return isLast(told, workerId) ? renew(told, workerId, why) : distrust(told, workerId, why);
}

/**
 * A worker whose parameters are wrong takes a copy of the others', as one that joins. What happens
 * again is no accident.
 */
export function repair(before: Transition, blamed: Blamed): Transition {
  const { workerId, why } = blamed;
  const t = withoutCheckpoint(before, [workerId]);
  const { repaired, yields } = runOf(t);
  const { step } = recordOf(t);
  const incarnation = t.fleet.members.get(workerId)?.incarnation ?? "";
  if (repaired.has(incarnation)) return exclude(t, blamed);
  // If another job is to have it, that need not wait for a boundary any more: it holds no state.
  const noted = changeRun(t, {
    repaired: withEntry(repaired, incarnation, step),
    yields: withoutKey(yields, workerId),
  });
  const fields = { worker: workerId, step };
  if (isLast(noted, workerId)) {
    return renew(log(noted, "warn", `${workerId} starts over: ${why}`, fields), workerId, why);
  }
  // What it holds next is another state.
  const forgotten = changeRun(noted, { stated: withoutKey(runOf(noted).stated, workerId) });
  return changeParticipant(
    log(forgotten, "warn", `${workerId} takes a copy of the others' state: ${why}`, fields),
    workerId,
    { stage: { kind: "ready" } },
  );
}

/** Nobody can tell whose state is right, and a replay from the checkpoint is. */
export function rewindUndecided(t: Transition, why: string): Transition {
  const { ties, cancelled } = runOf(t);
  // One that is cancelled ends as such, before it would load anything.
  if (ties >= tiesMax && !cancelled) return fail(t, `${why}, again and again`);
  const rid = withoutCheckpoint(t, undefined);
  const { checkpoints, step } = recordOf(rid);
  const told = log(
    changeRun(rid, { ties: ties + 1 }),
    "warn",
    `${why}: goes back to step ${checkpoints[0]?.step ?? 0}`,
    { step },
  );
  return beginAttempt(told);
}

/**
 * What was kept of the present state by one of these workers, or by anybody (`suspects` undefined),
 * may be as wrong as what it holds. A checkpoint of an earlier attempt is what all have loaded.
 */
export function withoutCheckpoint(
  t: Transition,
  suspects: readonly string[] | undefined,
): Transition {
  const { checkpoints, step, attempt } = recordOf(t);
  const [newest, ...older] = checkpoints;
  if (newest?.step !== step || newest.attempt !== attempt) return t;
  const { savedBy } = runOf(t);
  if (savedBy !== "" && suspects?.includes(savedBy) === false) return t;
  return log(
    note(t, { checkpoints: older }),
    "warn",
    `the checkpoint of step ${step} is given up: its parameters may be wrong`,
    { step },
  );
}

function isLast(t: Transition, workerId: string): boolean {
  return memberIds(runOf(t)).every((id) => id === workerId);
}

/** It begins again with a new process, from the checkpoint, since nobody else has the state. */
function renew(t: Transition, workerId: string, why: string): Transition {
  const member = t.fleet.members.get(workerId);
  if (member === undefined) return t;
  const { givenUp, stated } = runOf(t);
  const struck = changeRun(t, {
    givenUp: new Set([...givenUp, member.incarnation]),
    stated: withoutKey(stated, workerId),
  });
  // Its process is alive, and would keep the device if the job came to its end now.
  const isAtWork = runOf(t).participants.has(workerId);
  const dropped = strike(struck, member, why);
  return isAtWork ? close(dropped, workerId, runOf(t).job, why) : dropped;
}
