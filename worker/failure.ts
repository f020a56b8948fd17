import type { FailureCause } from "../src/control/message.js";
import { CheckpointError } from "../src/store/checkpoint.js";
import { NonFiniteError } from "../src/store/finite.js";

/**
 * How TensorFlow, its BFC allocator, CUDA, cuBLAS, cuDNN, Node, the C++ library and the kernel say
 * that memory has run out. TensorFlow puts it on any line of a message of many.
 */
const memoryRanOut =
  /OOM when allocating|RESOURCE_?EXHAUSTED|out[ _]of[ _]memory|failed to allocate|STATUS_ALLOC_FAILED|bad_alloc|allocation failed|cannot allocate memory|ENOMEM/i;

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
  if (error.name === "UnreadableError") return { cause: "read", message: error.message };
  if (error.name === "FailureError") return { cause: "data", message: error.message };
  const shortage = error.message.split("\n").find((line) => memoryRanOut.test(line));
  if (shortage !== undefined) {
    return { cause: "memory", message: `out of memory: ${shortage.trim()}` };
  }
  const kind = error.name === "Error" ? "" : `${error.name}: `;
  return { cause: "error", message: kind + firstLine(error.message) };
}

function firstLine(message: string): string {
  return message.split("\n", 1)[0] ?? message;
}
