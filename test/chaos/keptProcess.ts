/** A process that faults are done to, and that is started again whenever it ends, as Kubernetes would. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface KeptProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Gets what it writes, of all its lives. */
  readonly logFile: string;
  /** Told of every end that nobody here asked for. */
  readonly onEnd: (how: string) => void;
}

const restartMs = 500;
/** A worker may take half a minute to hand over what it holds. */
const graceMs = 45_000;
/** What a process has to end in order where nobody needs it any more. */
const closeMs = 2000;

export class KeptProcess {
  readonly #options: KeptProcessOptions;
  #environment: KeptProcessOptions["environment"];
  #child: ChildProcess | undefined;
  #isWanted = false;
  #isClosed = false;

  constructor(options: KeptProcessOptions) {
    this.#options = options;
    this.#environment = options.environment;
  }

  get name(): string {
    return this.#options.name;
  }

  /** Undefined while it is down. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** It was told to end, and has not yet. */
  get isEnding(): boolean {
    return this.#child !== undefined && !this.#isWanted;
  }

  start(): void {
    if (this.#child !== undefined || this.#isClosed) return;
    this.#isWanted = true;
    const { command, args, logFile, onEnd } = this.#options;
    const log = openSync(logFile, "a");
    // A group of its own: Ctrl-C reaches only us, who end the parts in order.
    const child = spawn(command, [...args], {
      env: { ...this.#environment },
      stdio: ["ignore", log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    child.once("error", (error) => onEnd(error.message));
    child.once("exit", (code, signal) => {
      this.#child = undefined;
      if (!this.#isWanted) return;
      onEnd(signal ?? `code ${code ?? 0}`);
      setTimeout(() => {
        if (this.#isWanted) this.start();
      }, restartMs).unref();
    });
  }

  /** What it is started with from the next time on, beside what it was made with. */
  setEnvironment(changed: KeptProcessOptions["environment"]): void {
    this.#environment = { ...this.#options.environment, ...changed };
  }

  signal(name: NodeJS.Signals): void {
    this.#child?.kill(name);
  }

  /** SIGKILL; resolves when it is gone. It stays down until it is started. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** SIGTERM, and SIGKILL where that does not help. Returns the exit code, undefined for a signal. */
  async stop(): Promise<number | undefined> {
    return this.#end("SIGTERM");
  }

  /** Ends it for good: what would start it again later no longer does. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const child = this.#child;
    // The second signal says not to wait for anything.
    const again = setTimeout(() => child?.kill("SIGTERM"), closeMs);
    await this.stop();
    clearTimeout(again);
  }

  async #end(how: NodeJS.Signals): Promise<number | undefined> {
    this.#isWanted = false;
    const child = this.#child;
    if (child === undefined) return undefined;
    const gone = once(child, "exit");
    child.kill(how);
    // One that is stopped would not hear of it.
    child.kill("SIGCONT");
    const late = sleep(graceMs, undefined, { ref: false }).then(() => child.kill("SIGKILL"));
    await Promise.race([gone, late]);
    await gone;
    return child.exitCode ?? undefined;
  }
}
