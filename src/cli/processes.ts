/** Processes of ours, started from a command. */
import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import type { Variables } from "../process/variables.js";
import { answerStarted, type Scale } from "../process/starter.js";
import { packageRoot } from "../process/toolchain.js";

export type Part = "coordinator" | "worker";

export interface Ended {
  /** As a shell has it: 128 and the number of the signal that ended it. */
  readonly code: number;
  readonly signal: NodeJS.Signals | undefined;
}

/** The running children: none survives this process. After a SIGKILL of ours they end by themselves. */
const running = new Set<ChildProcess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** One coordinator or worker. */
export class PartProcess {
  readonly #child: ChildProcess;
  readonly ended: Promise<Ended>;

  /**
   * `piped`: its output is read through `onLine`, else it goes where ours goes. The child is in a group of its own, so that
   * Ctrl-C reaches only us, and we stop the parts in order. `scale`: what it may ask of us.
   */
  constructor(
    part: Part,
    environment: Variables,
    onLine?: (line: string, stream: "stdout" | "stderr") => void,
    scale?: Scale,
  ) {
    const file = join(packageRoot(), "dist", part, "main.js");
    const output = onLine === undefined ? "inherit" : "pipe";
    this.#child = spawn(process.execPath, [file], {
      // What we read is JSON, whatever our own user has asked for.
      env: { ...environment, ...(onLine !== undefined && { LOG_FORMAT: "json" }) },
      // That the channel closes tells the part that we are gone.
      stdio: ["ignore", output, output, "ipc"],
      detached: true,
    });
    running.add(this.#child);
    answerStarted(this.#child, scale);
    if (onLine !== undefined) {
      eachLine(this.#child.stdout, (line) => onLine(line, "stdout"));
      eachLine(this.#child.stderr, (line) => onLine(line, "stderr"));
    }
    this.ended = new Promise((resolve) => {
      this.#child.once("error", () => resolve({ code: 1, signal: undefined }));
      this.#child.once("close", (code, signal) => {
        running.delete(this.#child);
        resolve({ code: code ?? signalCode(signal), signal: signal ?? undefined });
      });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** SIGTERM, and SIGKILL to one that is still there after `graceMs`. */
  async stop(graceMs: number): Promise<Ended> {
    this.#child.kill("SIGTERM");
    const killing = setTimeout(() => this.#child.kill("SIGKILL"), graceMs);
    const ended = await this.ended;
    clearTimeout(killing);
    return ended;
  }
}

function signalCode(signal: NodeJS.Signals | null): number {
  return signal === null ? 1 : 128 + constants.signals[signal];
}

const lineMax = 64 * 1024;

/** Calls back with every line; one that never ends is handed on in pieces. */
function eachLine(stream: NodeJS.ReadableStream | null, use: (line: string) => void): void {
  let rest = "";
  stream?.setEncoding("utf8");
  stream?.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) use(line);
    if (rest.length > lineMax) {
      use(rest);
      rest = "";
    }
  });
  stream?.on("end", () => {
    if (rest !== "") use(rest);
  });
}
