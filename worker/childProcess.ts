import { fork, type ChildProcess as NodeProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { clearTemporary } from "../src/process/temporaryFolder.js";

/** How a process ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
  /** The last lines it wrote to stderr: what TensorFlow says before it dies. */
  readonly lastWords: readonly string[];
}

const lastWordsMax = 5;
/** The kernel may take long to take a device from a process that was killed. */
const endMs = 2_000;

/**
 * A process that runs one file of ours and talks in messages. It ends when its parent does: the
 * channel closes, and the file's own listener exits.
 */
export class ChildProcess<Command, Event> {
  readonly #process: NodeProcess;
  readonly #lastWords: string[] = [];
  readonly #closed: Promise<void>;
  #ended = false;

  constructor(options: {
    readonly file: URL;
    readonly environment: NodeJS.ProcessEnv;
    readonly onEvent: (event: Event) => void;
    readonly onExit: (exit: Exit) => void;
  }) {
    this.#process = fork(options.file, {
      env: options.environment,
      // Typed arrays keep their type on the way.
      serialization: "advanced",
      stdio: ["ignore", "inherit", "pipe", "ipc"],
    });
    // The file at the other end is ours and sends Events only; messages carry no types.
    this.#process.on("message", (message) => options.onEvent(message as Event));
    this.#process.on("error", () => undefined);
    if (this.#process.stderr !== null) {
      createInterface({ input: this.#process.stderr }).on("line", (line) => this.#keep(line));
    }
    this.#closed = new Promise((resolve) => {
      this.#process.on("close", (code, signal) => {
        if (this.#ended) return;
        this.#ended = true;
        options.onExit({ code, signal, lastWords: this.#lastWords });
        void clearTemporary().finally(resolve);
      });
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  /** Dropped when the process is gone: `onExit` tells. */
  send(command: Command): void {
    if (this.#process.connected) {
      // `send` takes what the structured clone takes; every Command is such a value.
      this.#process.send(command as object, () => undefined);
    }
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  /** Kills it and resolves when it is gone with what it left; one that does not go is not waited for. */
  async end(): Promise<void> {
    this.kill();
    await Promise.race([this.#closed, sleep(endMs, undefined, { ref: false })]);
  }

  #keep(line: string): void {
    this.#lastWords.push(line);
    if (this.#lastWords.length > lastWordsMax) this.#lastWords.shift();
  }
}

/** "signal SIGKILL" or "code 1", with the last thing it said. */
export function describeExit({ code, signal, lastWords }: Exit): string {
  const how = signal === null ? `code ${code ?? 0}` : `signal ${signal}`;
  if (signal === "SIGILL") return `${how}: the CPU lacks instructions that TensorFlow uses (AVX)`;
  const words = lastWords.at(-1);
  return words === undefined ? how : `${how}: ${words}`;
}
