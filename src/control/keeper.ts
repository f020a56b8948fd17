import { alikeGroups } from "./checksum.js";
import type { Transition } from "./fleetState.js";
import { connectedMembers, memberIds } from "./participation.js";
import { withoutCheckpoint } from "./remedy.js";
import { changeRun, recordOf, runOf, send } from "./transition.js";

/**
 * A checkpoint beside the training is one member's to write. It may be lost before it has, or before
 * the others have said that they hold the same.
 */

/** During a round: asks another where the one that was asked is gone. What that one holds now is as good. */
export function askKeeper(t: Transition): Transition {
  const { keeper } = runOf(t);
  if (keeper === undefined || keeper.isSaved || memberIds(runOf(t)).includes(keeper.workerId))
    return t;
  const [workerId] = connectedMembers(t);
  if (workerId === undefined) return t;
  const { name, attempt } = recordOf(t);
  const asked = changeRun(t, { keeper: { ...keeper, workerId } });
  return send(asked, workerId, { kind: "save", job: name, attempt, what: "checkpoint" });
}

/**
 * Before a commit, when all members have been judged: who wrote the checkpoint of the state, and is
 * gone, must have said the same as they. Where it has not, another state is kept instead.
 */
export function judgeKept(t: Transition): Transition {
  const { keeper, stated } = runOf(t);
  if (keeper?.isSaved !== true) return t;
  const { workerId } = keeper;
  const alike = alikeGroups(t, [workerId, ...memberIds(runOf(t))])[0] ?? [];
  const expected = alike.filter((id) => id !== workerId).flatMap((id) => stated.get(id) ?? [])[0];
  const done = changeRun(t, { keeper: undefined });
  // Nobody of its arithmetic may be left to compare it with.
  if (expected === undefined || stated.get(workerId)?.[0] === expected) return done;
  const rid = withoutCheckpoint(done, [workerId]);
  const { step } = recordOf(t);
  return rid === done ? done : changeRun(rid, { keeper: { workerId: "", step, isSaved: false } });
}
