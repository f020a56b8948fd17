import { end } from "./ending.js";
import type { SavingPhase, Transition } from "./fleetState.js";
import type { WorkerEvent } from "./message.js";
import { connectedMembers, memberIds, setAside } from "./participation.js";
import { describe, emit, enter, log, note, recordOf, runOf, send } from "./transition.js";

/**
 * What is kept of a job: checkpoints beside the training, one before a cancel, and the weights at
 * the end. One member writes; if it is lost, another does, to the same bytes.
 */

export type Saved = Extract<WorkerEvent, { readonly kind: "saved" }>;

/** Has a member write the present state; the job waits for it. */
export function beginSaving(t: Transition, what: SavingPhase["what"]): Transition {
  const [saver] = connectedMembers(t);
  if (saver === undefined) return t;
  const deadlineMs = t.fleet.clock.awakeMs + t.fleet.options.saveMs;
  return sendSave(enter(describe(t, "saving"), { kind: "saving", what, saver, deadlineMs }), saver);
}

/** Sends (or repeats) what is to be saved, if this member is the one to do it. */
export function sendSave(t: Transition, workerId: string): Transition {
  const { phase } = runOf(t);
  if (phase.kind !== "saving" || phase.saver !== workerId) return t;
  const { name, attempt } = recordOf(t);
  return send(t, workerId, { kind: "save", job: name, attempt, what: phase.what });
}

/** Goes back to the boundary, which asks another, when the saver is gone or the job is cancelled. */
export function decideSaving(t: Transition, phase: SavingPhase): Transition {
  const run = runOf(t);
  if (run.cancelled && phase.what === "weights") return enter(t, { kind: "boundary" });
  if (!memberIds(run).includes(phase.saver)) return enter(t, { kind: "boundary" });
  if (t.fleet.clock.awakeMs < phase.deadlineMs) return t;
  const reason = `it did not write the ${phase.what} within ${t.fleet.options.saveMs} ms`;
  return enter(setAside(t, phase.saver, reason), { kind: "boundary" });
}

/** Something of this attempt is in the store, whoever was asked for it. */
export function takeSaved(t: Transition, workerId: string, saved: Saved): Transition {
  const { name, attempt, step } = recordOf(t);
  if (saved.job !== name || saved.attempt !== attempt) return t;
  return saved.what === "checkpoint"
    ? takeCheckpoint(t, workerId, saved)
    : saved.step === step
      ? takeWeights(t, workerId, saved)
      : t;
}

function takeCheckpoint(t: Transition, workerId: string, saved: Saved): Transition {
  const { checkpoint, name, attempt, step, plan } = recordOf(t);
  const { phase } = runOf(t);
  const isNewer = saved.step > (checkpoint?.step ?? 0) && saved.step <= step;
  const kept = isNewer
    ? emit(
        log(
          note(t, { checkpoint: { step: saved.step, attempt, name: saved.name } }),
          "info",
          `checkpoint of step ${saved.step} is saved`,
          { step: saved.step, worker: workerId, megabytes: Math.round(saved.bytes / 1e5) / 10 },
        ),
        { kind: "discard", job: name, step: saved.step, keep: plan.settings.keepCheckpoints },
      )
    : t;
  const wasAsked = phase.kind === "saving" && phase.what === "checkpoint" && saved.step === step;
  return wasAsked ? enter(kept, { kind: "boundary" }) : kept;
}

function takeWeights(t: Transition, workerId: string, saved: Saved): Transition {
  const { phase } = runOf(t);
  if (phase.kind !== "saving" || phase.what !== "weights") return t;
  const { name, parameterDigest } = saved;
  const kept = log(
    note(t, { weights: { name, parameterDigest } }),
    "info",
    `weights are saved: ${name}`,
    { worker: workerId, parameterDigest, megabytes: Math.round(saved.bytes / 1e5) / 10 },
  );
  return end(kept, { state: "done", reason: "" });
}
