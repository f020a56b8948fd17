/**
 * How a process of ours begins and ends. SIGINT, SIGTERM and the end of the terminal abort one signal, which `main` passes to all that is long; when
 * `main` has returned, the clean-ups run, the last added first. A second signal, unless `main` wants to hear of it, or a deadline
 * missed, ends the process at once.
 */
import { ConfigError, FailureError, reasonOf } from "../job/problem.js";
import { fileSentence } from "./fileProblem.js";
import { isHangUpIgnored } from "./hangUp.js";
import { hasStarter, onStarterGone } from "./starterGone.js";

/** A clean-up that takes longer is left behind: the next start copes with what it leaves. */
const cleanupDeadlineMs = 10_000;

/** What an orderly end may take once nobody is left to wait for it. */
const orphanMs = 6_000;

interface Cleanup {
  readonly name: string;
  readonly run: () => Promise<void> | void;
}

export class Shutdown {
  readonly #controller = new AbortController();
  readonly #cleanups: Cleanup[] = [];
  #onHurry: (() => void) | undefined;
  /** Time that `main` has to return once the end was asked for. */
  graceMs = cleanupDeadlineMs;

  /** Aborted once the process should end. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What to undo at the end, in reverse order of adding. */
  add(name: string, run: () => Promise<void> | void): void {
    this.#cleanups.push({ name, run });
  }

  /** Asks the process to end; the first reason given stays. */
  begin(reason: Error): void {
    if (!this.signal.aborted) this.#controller.abort(reason);
  }

  /** Has a second signal call this instead of ending the process; a third one ends it. */
  onHurry(hurry: () => void): void {
    this.#onHurry = hurry;
  }

  /** Whether somebody was told of the second signal. */
  hurry(): boolean {
    const hurry = this.#onHurry;
    this.#onHurry = undefined;
    hurry?.();
    return hurry !== undefined;
  }

  /** Resolves when the process should end. */
  async requested(): Promise<void> {
    if (this.signal.aborted) return;
    await new Promise<void>((resolve) =>
      this.signal.addEventListener("abort", () => resolve(), { once: true }),
    );
  }

  /** Runs every clean-up, whether or not the one before it failed. Returns what went wrong, a sentence each. */
  async cleanUp(deadlineMs: number = cleanupDeadlineMs): Promise<readonly string[]> {
    const problems: string[] = [];
    const endsAt = performance.now() + deadlineMs;
    for (let cleanup = this.#cleanups.pop(); cleanup; cleanup = this.#cleanups.pop()) {
      const { name, run } = cleanup;
      const leftMs = Math.max(0, endsAt - performance.now());
      try {
        await withDeadline(Promise.resolve().then(run), leftMs, name);
      } catch (error) {
        problems.push(`${name}: ${reasonOf(error)}`);
      }
    }
    return problems;
  }
}

export interface RunOptions {
  /** Prints the stack of an unexpected error. */
  readonly debug: boolean;
  /** As `Shutdown.graceMs`. */
  readonly graceMs?: number;
}

/**
 * Runs a process: `main`, then the clean-ups, then the exit. The exit code is what `main` returns (0 for nothing), 2 for a
 * ConfigError and 1 for any other error, each told in one sentence on stderr.
 */
export function run(
  main: (shutdown: Shutdown) => Promise<number | undefined>,
  options: RunOptions,
): void {
  const shutdown = new Shutdown();
  shutdown.graceMs = options.graceMs ?? shutdown.graceMs;
  const onSignal = (name: NodeJS.Signals): void => {
    if (shutdown.signal.aborted && shutdown.hurry()) return;
    if (shutdown.signal.aborted) process.exit(name === "SIGINT" ? 130 : 143);
    shutdown.begin(new FailureError(`stopped by ${name}`));
  };
  // The whole terminal goes: that is no second wish for haste.
  const onHangUp = (): void => shutdown.begin(new FailureError("its terminal was closed"));
  // Nobody may be left to read a sentence: its terminal closed, its pipe without a reader.
  process.stderr.on("error", () => undefined);
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  // Listened for in any case: Node has made the signal deadly, also where it was ignored before.
  process.on("SIGHUP", isHangUpIgnored() ? () => undefined : onHangUp);
  endWithStarter(shutdown);
  const crashed = new Promise<never>((_, reject) => {
    process.on("uncaughtException", reject);
    process.on("unhandledRejection", reject);
  });
  void guard(Promise.race([main(shutdown), crashed, overdue(shutdown)]), options)
    .then(async (code) => {
      shutdown.begin(new FailureError("the process has ended"));
      for (const problem of await shutdown.cleanUp()) print(`while ending, ${problem}`);
      return code;
    })
    .then((code) => process.exit(code));
}

/** In order if it can, and in any case. */
function endWithStarter(shutdown: Shutdown): void {
  if (hasStarter() && !process.connected) process.exit(1);
  onStarterGone(() => {
    shutdown.begin(new FailureError("the process that started this one is gone"));
    setTimeout(() => process.kill(process.pid, "SIGKILL"), orphanMs);
  });
  // Hearing of that is no reason to stay.
  process.channel?.unref();
}

/** How an error ends a process: the exit code, and the lines for stderr. */
export function verdict(
  error: unknown,
  debug: boolean,
): { readonly code: number; readonly lines: readonly string[] } {
  if (error instanceof ConfigError) return { code: 2, lines: [error.message] };
  if (error instanceof FailureError) return { code: 1, lines: [error.message] };
  const sentence = fileSentence(error);
  if (sentence !== undefined && !debug) return { code: 1, lines: [sentence] };
  const stack = error instanceof Error ? error.stack : undefined;
  return {
    code: 1,
    lines: debug
      ? [stack ?? reasonOf(error)]
      : [
          `unexpected ${error instanceof Error ? error.name : "error"}: ${reasonOf(error)}`,
          "This is a fault in Bitfleet; LOG_LEVEL=debug shows where.",
        ],
  };
}

async function guard(work: Promise<number | undefined>, options: RunOptions): Promise<number> {
  try {
    return (await work) ?? 0;
  } catch (error) {
    const { code, lines } = verdict(error, options.debug);
    for (const line of lines) print(line);
    return code;
  }
}

async function overdue(shutdown: Shutdown): Promise<number> {
  await shutdown.requested();
  await new Promise<void>((resolve) => {
    setTimeout(resolve, shutdown.graceMs).unref();
  });
  return 1;
}

async function withDeadline(work: Promise<void>, deadlineMs: number, name: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new FailureError(`${name} did not end within ${Math.round(deadlineMs)} ms`)),
      deadlineMs,
    );
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function print(line: string): void {
  process.stderr.write(`${line}\n`);
}
