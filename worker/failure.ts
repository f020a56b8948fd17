import type { FailureCause } from "../src/control/message.js";
import { CheckpointError } from "../src/store/checkpoint.js";
import { NonFiniteError } from "../src/store/finite.js";

/** What kind of trouble an error is, for the coordinator to act on, and one sentence for people. */
export function failureOf(error: unknown): {
  readonly cause: FailureCause;
  readonly message: string;
} {
  if (!(error instanceof Error)) return { cause: "error", message: String(error) };
  // Errors that crossed a thread have lost their class and kept their name.
  if (error.name === "ConfigError") return { cause: "config", message: error.message };
  if (error instanceof CheckpointError) return { cause: "checkpoint", message: error.message };
  if (error instanceof NonFiniteError) return { cause: "numbers", message: error.message };
  if (error.name === "FailureError") return { cause: "data", message: error.message };
  if (/OOM when allocating|ResourceExhausted|out of memory|bad_alloc/i.test(error.message)) {
    return { cause: "memory", message: `out of memory: ${firstLine(error.message)}` };
  }
  return { cause: "error", message: `${error.name}: ${firstLine(error.message)}` };
}

function firstLine(message: string): string {
  return message.split("\n", 1)[0] ?? message;
}
