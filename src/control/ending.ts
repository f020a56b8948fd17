import { countMax } from "../job/limits.js";
import { weightsName } from "../job/storedNames.js";
import type { Outcome, Transition } from "./fleetState.js";
import { releaseAll } from "./participation.js";
import { hasEnded } from "./record.js";
import { changeRecord, endRun, enter, focus, log, note, recordOf, runOf } from "./transition.js";

/**
 * How a job ends. It has ended only when no worker is at work on it any more: each has confirmed
 * that its child is gone, or is lost. A failure is recorded at once all the same, so that a
 * coordinator that starts again does not take the job up.
 */

export function end(t: Transition, outcome: Outcome): Transition {
  return enter(releaseAll(t, `${runOf(t).job} is ${outcome.state}`), {
    kind: "releasing",
    outcome,
  });
}

/** Ends the job with a sentence that says what went wrong. */
export function fail(t: Transition, reason: string): Transition {
  if (runOf(t).phase.kind === "releasing") return t;
  const failed = note(t, { state: "failed", reason, endedMs: t.fleet.clock.wallMs });
  return end(log(failed, "error", `failed: ${reason}`), { state: "failed", reason });
}

/** No record of the job as it stands can be kept: it fails, with one that can. */
export function failUnwritable(t: Transition, job: string, problem: string): Transition {
  const record = t.fleet.records.get(job);
  if (record === undefined) return t;
  const reason = `its record cannot be kept: ${problem}`;
  const small = changeRecord(t, job, {
    ...{ trial: undefined, members: [], trail: [] },
    evaluations: record.evaluations.slice(-1),
    attempt: Math.min(record.attempt, countMax),
    generation: Math.min(record.generation, countMax),
  });
  if (t.fleet.runs.has(job)) return focus(small, job, (so) => fail(so, reason));
  const ended = { state: "failed", reason, endedMs: t.fleet.clock.wallMs } as const;
  return hasEnded(record.state) ? small : changeRecord(small, job, ended);
}

export function decideReleasing(t: Transition, { state, reason }: Outcome): Transition {
  const { job } = runOf(t);
  const busy = [...t.fleet.members.values()].some(
    ({ link, closing }) => link.kind !== "lost" && closing?.job === job,
  );
  if (busy) return t;
  if (state === "failed") return endRun(t);
  if (state === "cancelled" && runOf(t).suspended) return backToQueue(t);
  const { weights, step, checkpoints } = recordOf(t);
  const [checkpoint] = checkpoints;
  const message =
    state === "done"
      ? `done${weights === undefined ? "" : `: weights in ${weightsName(job)}`}`
      : `cancelled at step ${step}; ${checkpoint === undefined ? "no checkpoint" : `checkpoint of step ${checkpoint.step}`}`;
  const ended = log(note(t, { state, reason, endedMs: t.fleet.clock.wallMs }), "info", message);
  return endRun(ended);
}

/** Others needed its workers more: it goes on from its checkpoint when its turn comes again. */
function backToQueue(t: Transition): Transition {
  const queued = note(t, { state: "queued", reason: "" });
  return endRun(log(queued, "info", `waits in the queue at step ${recordOf(t).step}`));
}
