import { end } from "./ending.js";
import { membersHeard } from "./checksum.js";
import { examineState } from "./examining.js";
import type { SavingPhase, Transition } from "./fleetState.js";
import { weightsName } from "../job/storedNames.js";
import type { WorkerEvent } from "./message.js";
import { connectedMembers, memberIds, setAsideForAWhile } from "./participation.js";
import { isSilentSince } from "./silence.js";
import {
  changeRun,
  describe,
  emit,
  enter,
  log,
  note,
  recordOf,
  runOf,
  send,
} from "./transition.js";

/**
 * What is kept of a job: checkpoints beside the training, one before a cancel, and the weights at
 * the end. One member writes; if it is lost, or cannot, another does, to the same bytes. A
 * checkpoint that nobody can write costs a warning; the weights are tried again until they are there.
 */

/** With the time that a hung process is given to end, less than the ten seconds that a cancel may take. */
const cancelWaitMs = 3_500;
/** What takes the device or the process longer than this is taken for hung then. */
const hungMs = 3_000;

export type Saved = Extract<WorkerEvent, { readonly kind: "saved" }>;
export type SaveFailed = Extract<WorkerEvent, { readonly kind: "save-failed" }>;

/** Has a member write the present state, once that is judged; the job waits for it. */
export function beginSaving(t: Transition, what: SavingPhase["what"]): Transition {
  const sinceMs = t.fleet.clock.awakeMs;
  return enter(describe(t, "saving"), { kind: "judging", what, sinceMs });
}

/**
 * Asks a member that is not among those that could not; one that has said nothing of the state,
 * which is compared with nobody's then, only where there is no other.
 */
export function askFor(
  t: Transition,
  what: SavingPhase["what"],
  failed: readonly string[],
): Transition {
  const { stated } = runOf(t);
  const able = connectedMembers(t).filter((workerId) => !failed.includes(workerId));
  const saver = able.find((workerId) => stated.has(workerId)) ?? able[0];
  if (saver === undefined) return t;
  const deadlineMs = t.fleet.clock.awakeMs + t.fleet.options.saveMs;
  const pausedUntilMs = undefined;
  return sendSave(
    enter(t, { kind: "saving", what, saver, deadlineMs, failed, pausedUntilMs }),
    saver,
  );
}

/** Sends (or repeats) what is to be saved, if this member is the one to do it. */
export function sendSave(t: Transition, workerId: string): Transition {
  const { phase } = runOf(t);
  if (phase.kind !== "saving" || phase.saver !== workerId) return t;
  if (phase.pausedUntilMs !== undefined) return t;
  const { name, attempt } = recordOf(t);
  return send(t, workerId, { kind: "save", job: name, attempt, what: phase.what });
}

/** Goes back to the boundary, which asks another, when the saver is gone or the job is cancelled. */
export function decideSaving(t: Transition, phase: SavingPhase): Transition {
  const run = runOf(t);
  if (run.cancelled && phase.what === "weights") return enter(t, { kind: "boundary" });
  if (!memberIds(run).includes(phase.saver)) return enter(t, { kind: "boundary" });
  // Somebody has said only now what it holds: it is judged anew.
  if (examineState(t, membersHeard(t)).kind !== "sound") return beginSaving(t, phase.what);
  if (run.cancelled && !run.suspended && isInVain(t, phase))
    return askOther(t, phase, "its process does not answer");
  const { awakeMs } = t.fleet.clock;
  if (phase.pausedUntilMs !== undefined) {
    const isLeft = phase.what === "checkpoint" && !run.cancelled;
    // It was to be saved since all leave: somebody may be there now to take it over instead.
    if (isLeft && run.participants.size > memberIds(run).length) {
      return enter(t, { kind: "boundary" });
    }
    return awakeMs < phase.pausedUntilMs ? t : askFor(t, phase.what, []);
  }
  const askedMs = phase.deadlineMs - t.fleet.options.saveMs;
  const isSilent = memberIds(run).length > 1 && isSilentSince(t.fleet, phase.saver, askedMs);
  if (awakeMs < phase.deadlineMs && !isSilent) return t;
  const reason = isSilent
    ? `its process says nothing while it is to write the ${phase.what}`
    : `it did not write the ${phase.what} within ${t.fleet.options.saveMs} ms`;
  // Where nobody else holds the state there is only this one to wait for.
  if (memberIds(run).length < 2)
    return describe(t, "saving", `waits for ${phase.saver}: ${reason}`);
  return enter(setAsideForAWhile(t, phase.saver, reason), { kind: "boundary" });
}

/**
 * A cancel is to free the device soon, so a state is not waited for that a hung device, or one at
 * a very long unit, does not give.
 */
function isInVain({ fleet }: Transition, { saver, deadlineMs }: SavingPhase): boolean {
  const { beat } = fleet.members.get(saver) ?? {};
  const askedMs = deadlineMs - fleet.options.saveMs;
  if (beat === undefined || fleet.clock.awakeMs - askedMs < cancelWaitMs) return false;
  return Math.max(beat.unitMs, beat.childSilentMs) >= hungMs;
}

/**
 * Something of this attempt is in the store, under the one name that it can have: a checkpoint by any that holds the state, the
 * weights by who was asked for them.
 */
export function takeSaved(t: Transition, workerId: string, saved: Saved): Transition {
  const { name, attempt, step } = recordOf(t);
  if (saved.job !== name || saved.attempt !== attempt || isOfOdd(t, workerId, saved)) return t;
  return saved.what === "checkpoint"
    ? takeCheckpoint(changeRun(t, { saveProblem: "" }), workerId, saved)
    : saved.step === step
      ? takeWeights(t, workerId, saved)
      : t;
}

/** Whether it was written by one whose state was found wrong, and not asked of it since. */
function isOfOdd(t: Transition, workerId: string, { step }: Saved): boolean {
  const { phase, repaired } = runOf(t);
  const incarnation = t.fleet.members.get(workerId)?.incarnation ?? "";
  const isAsked = phase.kind === "saving" && phase.saver === workerId;
  return !isAsked && step <= (repaired.get(incarnation) ?? -1);
}

function takeCheckpoint(t: Transition, workerId: string, saved: Saved): Transition {
  const { checkpoints, name, attempt, step, plan } = recordOf(t);
  const { phase, keeper } = runOf(t);
  const keep = plan.settings.keepCheckpoints;
  const isNewer = saved.step > (checkpoints[0]?.step ?? 0) && saved.step <= step;
  const newest = { step: saved.step, attempt };
  const kept = isNewer
    ? emit(
        log(
          changeRun(note(t, { checkpoints: [newest, ...checkpoints].slice(0, keep) }), {
            savedBy: workerId,
            keeper:
              keeper === undefined ? undefined : { workerId, step: saved.step, isSaved: true },
          }),
          "info",
          `checkpoint of step ${saved.step} is saved`,
          { step: saved.step, worker: workerId, megabytes: Math.round(saved.bytes / 1e5) / 10 },
        ),
        { kind: "discard", job: name, step: saved.step, keep },
      )
    : t;
  const wasAsked = phase.kind === "saving" && phase.what === "checkpoint" && saved.step === step;
  return wasAsked ? enter(kept, { kind: "boundary" }) : kept;
}

function takeWeights(t: Transition, workerId: string, saved: Saved): Transition {
  const { phase } = runOf(t);
  if (phase.kind !== "saving" || phase.what !== "weights" || phase.saver !== workerId) return t;
  const { parameterDigest } = saved;
  const kept = log(
    note(t, { weights: { parameterDigest } }),
    "info",
    `weights are saved: ${weightsName(saved.job)}`,
    { worker: workerId, parameterDigest, megabytes: Math.round(saved.bytes / 1e5) / 10 },
  );
  return end(kept, { state: "done", reason: "" });
}

/** Each reason is said once; then either the training goes on, or another member is asked. */
export function takeSaveFailed(t: Transition, workerId: string, failed: SaveFailed): Transition {
  const { name, attempt, step } = recordOf(t);
  if (failed.job !== name || failed.attempt !== attempt) return t;
  const { message, what } = failed;
  const subject = what === "weights" ? "the weights are" : `checkpoint of step ${failed.step} is`;
  const told =
    runOf(t).saveProblem === message
      ? t
      : log(changeRun(t, { saveProblem: message }), "warn", `${subject} not saved: ${message}`, {
          worker: workerId,
          step: failed.step,
        });
  const { phase } = runOf(told);
  const wasAsked =
    phase.kind === "saving" &&
    phase.what === what &&
    phase.saver === workerId &&
    phase.pausedUntilMs === undefined &&
    failed.step === step;
  if (wasAsked) return askOther(told, phase, message);
  // The training goes on with the last good one.
  return what === "checkpoint" && runOf(told).keeper?.workerId === workerId
    ? changeRun(told, { keeper: undefined })
    : told;
}

function askOther(t: Transition, phase: SavingPhase, problem: string): Transition {
  const failed = [...phase.failed, phase.saver];
  const asked = askFor(t, phase.what, failed);
  if (asked !== t) return asked;
  // A job that only gives up its workers tries again, and loses nothing.
  if (runOf(t).cancelled && !runOf(t).suspended) {
    const { step } = recordOf(t);
    const reason = `the state of step ${step} could not be kept: ${problem}`;
    return end(t, { state: "cancelled", reason });
  }
  const { clock, options } = t.fleet;
  const reason = `the ${phase.what} cannot be written, which is tried again: ${problem}`;
  const pausedUntilMs = clock.awakeMs + options.saveRetryMs;
  return enter(describe(t, "saving", reason), { ...phase, failed, pausedUntilMs });
}
