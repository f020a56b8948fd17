import type { Variables } from "../process/environment.js";
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
