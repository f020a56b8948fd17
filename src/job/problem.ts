/** A broken invariant: our own bug, never a peer's or an operator's. Ends the process. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Throws an AssertionError that says which invariant broke. */
export function assert(condition: unknown, message: string): asserts condition {
  if (condition !== true) throw new AssertionError(message);
}

/** A peer sent something we cannot accept. The connection fails; the process does not. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** The user's input is wrong: one sentence that names the setting or file, the value and the bound. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** The job that a request names is not known: also the user's input, with a status of its own. */
export class NotFoundError extends ConfigError {}

/** Something outside failed: no NATS, a port in use, a full disk. One sentence that names it. */
export class FailureError extends Error {
  override readonly name = "FailureError";
}

/** A picture that this machine cannot read now, though another one may: a mount that is away, too many open files. */
export class UnreadableError extends Error {
  override readonly name = "UnreadableError";
}

/** The code of an error of the system, as "ENOENT"; undefined for whatever else was thrown. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

/** What an error says, whatever was thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
