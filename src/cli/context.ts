import { FailureError } from "../job/problem.js";
import type { Variables } from "../process/variables.js";
import type { Terminal } from "./terminal.js";
import { json } from "./text.js";

/** What every command gets of its process. */
export interface Context {
  readonly terminal: Terminal;
  readonly variables: Variables;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  /** Sets the exit code where a command ends well but its answer is bad news. */
  readonly setExitCode: (code: number) => void;
}

/** JSON as every `--json` prints it: one document. */
export function printJson({ terminal }: Context, value: unknown): void {
  terminal.out(json(value, 2));
}

/** What a call that was given the signal comes to; where Ctrl-C ended it, that, and what has become of its work. */
export async function orInterrupted<T>(
  call: Promise<T>,
  signal: AbortSignal,
  outcome: string,
): Promise<T> {
  try {
    return await call;
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new FailureError(`interrupted; ${outcome}`, { cause: error });
  }
}
