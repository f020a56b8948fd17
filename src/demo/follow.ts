import type { BitfleetClient, JobStatus } from "../client/client.js";
import { FailureError } from "../job/problem.js";
import type { Outcome } from "./report.js";

const lineEveryMs = 3000;

/** Shows a job's progress until it is done: one line that changes on a terminal, else one now and then. */
export async function follow(
  client: BitfleetClient,
  job: string,
  signal: AbortSignal,
  output: NodeJS.WriteStream,
): Promise<Outcome> {
  const started = performance.now();
  let shownMs = -Infinity;
  let last: JobStatus | undefined;
  for await (const status of client.watch(job, { signal })) {
    last = status;
    const nowMs = performance.now();
    if (output.isTTY) output.write(`\r\x1b[2K  ${progress(status)}`);
    else if (nowMs - shownMs > lineEveryMs) {
      output.write(`  ${progress(status)}\n`);
      shownMs = nowMs;
    }
  }
  signal.throwIfAborted();
  if (output.isTTY) output.write("\r\x1b[2K");
  const evaluation = last?.evaluations.at(-1);
  if (last?.state !== "done" || evaluation === undefined) {
    throw new FailureError(
      `the job ${job} ended ${last?.state ?? "unseen"}: ${last?.reason ?? ""}`,
    );
  }
  const { correct, total } = evaluation;
  const seconds = (performance.now() - started) / 1000;
  output.write(
    `  ${correct}/${total} correct after ${last.steps} steps, ${Math.round(seconds)} s\n`,
  );
  return { job, correct, total, seconds };
}

function progress(status: JobStatus): string {
  const { state, step, steps, loss, imagesPerSecond, secondsLeft } = status;
  if (state !== "training" && state !== "evaluating") return state;
  const parts = [`step ${step}/${steps}`];
  if (loss !== undefined) parts.push(`loss ${loss.toFixed(3)}`);
  if (imagesPerSecond > 0) parts.push(`${Math.round(imagesPerSecond)} images/s`);
  if (secondsLeft >= 0) parts.push(`${Math.ceil(secondsLeft)} s left`);
  return parts.join(", ");
}
