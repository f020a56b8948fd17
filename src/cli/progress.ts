/** A job's progress as lines, from its status alone. */
import { hasEnded, type EvaluationResult, type JobState } from "../control/record.js";
import { plural } from "../job/plural.js";
import { shell } from "../job/shell.js";
import type { JobStatus } from "../wire/training.js";
import type { Color } from "./terminal.js";
import { duration, plain, share, short } from "./text.js";

/** One line that says all that changes: `training  step 12/60  57 s left  loss 1.25  rate 0.003  432 images/s`. What matters most comes first: a narrow terminal cuts the rest. */
export function progressLine(status: JobStatus): string {
  const { state, reason, step, steps, loss, rate, imagesPerSecond, secondsLeft } = status;
  const parts: string[] = [state];
  if (steps > 0) parts.push(`step ${step}/${steps}`);
  if (state === "training" && secondsLeft >= 0) parts.push(`${duration(secondsLeft)} left`);
  if (reason !== "") parts.push(plain(reason));
  if (loss !== undefined) parts.push(`loss ${short(loss)}`);
  if (state === "training") {
    if (rate > 0) parts.push(`rate ${short(rate)}`);
    if (imagesPerSecond > 0) parts.push(`${short(imagesPerSecond)} images/s`);
  }
  const evaluation = status.evaluations.at(-1);
  if (evaluation !== undefined)
    parts.push(`${share(evaluation.correct, evaluation.total)} correct`);
  if (!hasEnded(state) && status.workers > 0) parts.push(plural(status.workers, "worker"));
  return parts.join("  ");
}

/** How often a log that is no terminal is told of steps. */
const stepEveryMs = 5_000;

/** The lines worth a place in a log that is no terminal: what has changed since the last call. */
export class ChangeLines {
  #shown: JobStatus | undefined;
  #stepShownMs = -Infinity;

  next(status: JobStatus, nowMs: number): readonly string[] {
    const shown = this.#shown;
    const evaluations = newEvaluations(status, shown);
    const lines = evaluations.map(evaluationLine);
    const turned = shown?.state !== status.state || shown.reason !== status.reason;
    const stepped = shown?.step !== status.step;
    const due = nowMs - this.#stepShownMs >= stepEveryMs;
    const finished = status.step === status.steps;
    // The end is told by `resultLines`.
    if (hasEnded(status.state)) return lines;
    if (turned || (stepped && (due || finished))) {
      lines.push(progressLine({ ...status, evaluations: [] }));
      this.#stepShownMs = nowMs;
      this.#shown = status;
    } else {
      // The step stays the one shown, so that it is told once it is due.
      this.#shown = { ...status, step: shown.step };
    }
    return lines;
  }
}

/** Those that the status before did not show; a status has only the newest of very many. */
export function newEvaluations(
  { evaluations }: JobStatus,
  before: JobStatus | undefined,
): readonly EvaluationResult[] {
  const known = new Set(before?.evaluations.map(({ step }) => step));
  return evaluations.filter(({ step }) => !known.has(step));
}

export function evaluationLine({ step, correct, total, loss }: EvaluationResult): string {
  return `evaluation at step ${step}: ${share(correct, total)} correct, loss ${short(loss)}`;
}

/** The last words about a job, and what to do next. */
export function resultLines(status: JobStatus): readonly string[] {
  const { name, state, reason, evaluations, parameterDigest } = status;
  const because = reason === "" ? "" : `: ${plain(reason)}`;
  const last = evaluations.at(-1);
  const lines = [`${name} is ${state}${because}`];
  if (last !== undefined) lines.push(evaluationLine(last));
  if (state === "done") {
    lines.push(`it took ${duration((status.endedMs - status.startedMs) / 1000)}`);
    if (parameterDigest !== "") lines.push(`parameters ${parameterDigest}`);
    if (status.weights !== "") {
      lines.push(shell`write the weights: bitfleet export ${name} --out ${name}.npz`);
    }
  } else if (state === "cancelled" || state === "failed") {
    lines.push(
      shell`read its log: bitfleet logs ${name}`,
      shell`go on with it: bitfleet resume ${name}`,
    );
  }
  return lines;
}

export function stateColor(state: JobState): Color {
  if (state === "done") return "green";
  if (state === "failed") return "red";
  return state === "waiting" || state === "cancelled" || state === "cancelling" ? "yellow" : "dim";
}
