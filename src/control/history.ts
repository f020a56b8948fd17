import { rate } from "../bit/recipe.js";
import type { FleetCommand, LineEvent, LogFields } from "./fleetEvent.js";
import type { LoggedLines, Transition } from "./fleetState.js";
import { evaluationsMax } from "../job/limits.js";
import type { StepFacts } from "./message.js";
import type { EvaluationResult, JobRecord } from "./record.js";
import { change, emit, forEach, recordNamed, withEntry } from "./transition.js";
import { epochOf } from "./work.js";

/**
 * What the steps of a job came to, and which of them its log shows. A step may be decided by one
 * coordinator, decided again by the next, and once more after a rewind: its line is written once.
 * Workers and record know what came of the newest steps; the log itself says which lines it has.
 */

/** Of more steps than this before the newest the record keeps nothing. */
const trailMax = 1_000;

export const nothingLogged: LoggedLines = { step: 0, hasEvaluation: false };

/** What came of that step, if anyone knows. */
export function factsOf({ trail }: JobRecord, step: number): StepFacts | undefined {
  return trail.findLast((facts) => facts.step === step);
}

/**
 * The trail with more steps in it; what is in it already stays. Steps from before the oldest
 * checkpoint are let go, since no attempt begins there any more.
 */
export function withFacts(
  { trail, checkpoints }: JobRecord,
  more: readonly StepFacts[],
): readonly StepFacts[] {
  const known = new Set(trail.map(({ step }) => step));
  const oldest = checkpoints.at(-1)?.step ?? 0;
  const added = new Map(more.map((facts) => [facts.step, facts]));
  const unknown = [...added.values()].filter(({ step }) => !known.has(step));
  if (unknown.length === 0) return trail;
  return [...trail, ...unknown]
    .filter(({ step }) => step >= oldest)
    .toSorted((a, b) => a.step - b.step)
    .slice(-trailMax);
}

/** The newest evaluations, in the order in which they were done; the log has all. */
export function withEvaluation(
  { evaluations }: JobRecord,
  result: EvaluationResult,
): readonly EvaluationResult[] {
  return [...evaluations, result].slice(-evaluationsMax);
}

/** How a step that was done before came out differently, in a sentence; undefined if it did not. */
export function deviation(record: JobRecord, now: StepFacts): string | undefined {
  const before = factsOf(record, now.step);
  // Each arithmetic has its own sums, and another worker may do the step this time.
  if (before === undefined || record.plan.settings.mixedDevices) return undefined;
  if (before.sumChecksum === now.sumChecksum && Object.is(before.loss, now.loss)) return undefined;
  return (
    `step ${now.step} was done again and came out differently: ` +
    `its sum has checksum ${now.sumChecksum} and had ${before.sumChecksum}, its loss is ${now.loss} and was ${before.loss}`
  );
}

/** Writes the lines that the job's log lacks, of all steps that its record has reached. */
export function logProgress(t: Transition, job: string, measured: LogFields = {}): Transition {
  const record = recordNamed(t.fleet, job);
  const logged = t.fleet.logged.get(job) ?? nothingLogged;
  const { step } = record;
  if (step < logged.step) return t;
  const result = evaluationAt(record, step);
  if (step === logged.step && (result === undefined || logged.hasEvaluation)) return t;
  const first = firstKnown(record, logged);
  const steps = Array.from({ length: step - first + 1 }, (_, i) => first + i);
  const told = forEach(confessLost(t, record, logged.step + 1, first), steps, (so, reached) => {
    const isNew = reached > logged.step;
    const stepped = isNew ? logStep(so, record, reached, reached === step ? measured : {}) : so;
    const evaluated = evaluationAt(record, reached);
    const isShown = !isNew && logged.hasEvaluation;
    return evaluated === undefined || isShown ? stepped : logEvaluation(stepped, record, evaluated);
  });
  const lines: LoggedLines = { step, hasEvaluation: result !== undefined };
  return change(told, { logged: withEntry(told.fleet.logged, job, lines) });
}

/** The same for all jobs that may lack lines: one may have ended just before its coordinator did. */
export function logAllProgress(t: Transition): Transition {
  return forEach(t, t.fleet.records.open.keys(), (so, job) => logProgress(so, job));
}

/** What a log shows, from its last lines, oldest first; undefined where they say nothing of it. */
export function loggedIn(
  lines: readonly { readonly event?: LineEvent; readonly fields: LogFields }[],
): LoggedLines | undefined {
  const last = lines.findLast(({ event }) => event !== undefined);
  const step = last?.fields["step"];
  return typeof step === "number"
    ? { step, hasEvaluation: last?.event === "evaluation" }
    : undefined;
}

/** The first state behind the log's last line to which all steps from there on are known. */
function firstKnown(record: JobRecord, logged: LoggedLines): number {
  for (let step = record.step; step > logged.step; step -= 1) {
    if (factsOf(record, step - 1) === undefined) return step + 1;
  }
  return logged.step;
}

/** Where all who knew of them are gone. */
function confessLost(t: Transition, record: JobRecord, from: number, first: number): Transition {
  const to = Math.min(first - 1, record.step);
  if (to < from) return t;
  const message = `the lines of steps ${from} to ${to} are lost: nobody is left who knew them`;
  return logLine(t, record, { level: "warn", message, fields: {} });
}

function evaluationAt({ evaluations }: JobRecord, step: number): EvaluationResult | undefined {
  return evaluations.find((evaluation) => evaluation.step === step);
}

/** All but what was measured is the same whoever computed it. */
function logStep(t: Transition, record: JobRecord, step: number, measured: LogFields): Transition {
  const facts = factsOf(record, step - 1);
  const { plan } = record;
  return logLine(t, record, {
    event: "step",
    level: "info",
    message: `step ${step} of ${plan.schedule.steps}`,
    fields: {
      step,
      epoch: epochOf(record, step - 1),
      loss: rounded(facts?.loss ?? NaN),
      rate: rate(plan.schedule, step - 1),
      ...measured,
    },
  });
}

function logEvaluation(
  t: Transition,
  record: JobRecord,
  { step, correct, total, loss }: EvaluationResult,
): Transition {
  const percent = ((100 * correct) / total).toFixed(1);
  return logLine(t, record, {
    event: "evaluation",
    level: "info",
    message: `evaluation at step ${step}: ${correct}/${total} correct (${percent} %)`,
    fields: { step, correct, total, loss: rounded(loss) },
  });
}

function logLine(
  t: Transition,
  { name, attempt, generation }: JobRecord,
  { fields, ...line }: Omit<Extract<FleetCommand, { readonly kind: "log" }>, "kind" | "job">,
): Transition {
  return emit(t, {
    ...{ kind: "log", job: name, ...line },
    fields: { attempt, generation, ...fields },
  });
}

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
