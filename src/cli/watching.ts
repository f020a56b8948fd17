/** Follows a job to its end: one live line on a terminal, a line per change elsewhere. */
import type { BitfleetClient } from "../client/client.js";
import { hasEnded } from "../control/record.js";
import { shell } from "../job/shell.js";
import type { JobStatus } from "../wire/training.js";
import type { Context } from "./context.js";
import {
  ChangeLines,
  evaluationLine,
  newEvaluations,
  progressLine,
  resultLines,
} from "./progress.js";

/**
 * Shows the job until it has ended, then its result. Ctrl-C detaches: the job goes on, and the line that watches it again is
 * shown. A caller that tells the result itself has it left out. Returns the last status, undefined when detached. The exit code is 1 for a job that did not end well.
 */
export async function watchJob(
  client: BitfleetClient,
  name: string,
  context: Context,
  { showResult = true }: { readonly showResult?: boolean } = {},
): Promise<JobStatus | undefined> {
  const { terminal, signal } = context;
  const changes = new ChangeLines();
  let last: JobStatus | undefined;
  for await (const status of client.watch(name, { signal })) {
    if (terminal.interactive) {
      for (const evaluation of newEvaluations(status, last))
        if (showResult) terminal.note(evaluationLine(evaluation));
      terminal.live(progressLine({ ...status, evaluations: [] }));
    } else {
      for (const line of changes.next(
        showResult ? status : { ...status, evaluations: [] },
        performance.now(),
      ))
        terminal.note(line);
    }
    last = status;
  }
  terminal.clearLive();
  if (last === undefined || !hasEnded(last.state)) {
    terminal.note(
      shell`detached; the job goes on. Watch it again: bitfleet status ${name} --watch`,
    );
    return undefined;
  }
  if (showResult || last.state !== "done")
    for (const line of resultLines(last)) terminal.note(line);
  if (last.state !== "done") context.setExitCode(1);
  return last;
}
