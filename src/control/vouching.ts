import { membersHeard } from "./checksum.js";
import { examineState } from "./examining.js";
import type { JudgingPhase, Transition } from "./fleetState.js";
import { formGeneration, isConnected, memberIds } from "./participation.js";
import { repair, rewindUndecided } from "./remedy.js";
import { askFor } from "./saving.js";
import { enter, forEach, runOf } from "./transition.js";

/**
 * Before a state is saved at a boundary no round judges it any more, and one member's word for it
 * would be all: so the members' checksums of it are waited for, though not for ever, and compared.
 */

/** They are waited for as long as a step takes, and at least so long; where the job is cancelled, no longer. */
const floorMs = 1_000;

export function decideJudging(t: Transition, phase: JudgingPhase): Transition {
  const run = runOf(t);
  const members = memberIds(run);
  if (members.length === 0 || (run.cancelled && phase.what === "weights")) {
    return enter(t, { kind: "boundary" });
  }
  const isAwaited = members.some((id) => isConnected(t, id) && !run.stated.has(id));
  const isHurried = run.cancelled && !run.suspended;
  const usualMs = isHurried ? floorMs : Math.max(floorMs, run.pace.stepMs ?? 0);
  // Whoever is alone has nobody to be compared with.
  if (members.length > 1 && isAwaited && t.fleet.clock.awakeMs - phase.sinceMs < usualMs) return t;
  const finding = examineState(t, membersHeard(t));
  switch (finding.kind) {
    case "odd":
      return enter(formGeneration(forEach(t, finding.workers, repair)), { kind: "boundary" });
    case "rewind":
      return rewindUndecided(t, finding.why);
    default:
      return askFor(t, phase.what, []);
  }
}
