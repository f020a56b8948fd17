import type { ChildProcess, spawn as nodeSpawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { BitfleetClient } from "../client/client.js";
import { FailureError } from "../job/problem.js";
import { anyPort } from "../process/port.js";
import { packageRoot } from "../process/toolchain.js";

const readyMs = 60_000;
const stopMs = 15_000;

/** `bitfleet up` as the demo runs it: on free ports, with its logs in a file. */
export class Fleet {
  readonly address: string;
  readonly #process: ChildProcess;
  readonly #log: string;
  #exit: number | string | undefined;

  private constructor(process: ChildProcess, address: string, log: string) {
    this.#process = process;
    this.address = address;
    this.#log = log;
    process.on("exit", (code, signal) => (this.#exit = signal ?? code ?? 0));
  }

  static async start(options: {
    readonly home: string;
    readonly workers: number;
    readonly spawn: typeof nodeSpawn;
  }): Promise<Fleet> {
    await mkdir(options.home, { recursive: true });
    const [port, httpPort] = [await anyPort(), await anyPort()];
    const bitfleet = join(packageRoot(), "dist", "src", "cli", "main.js");
    const flags = [
      ...["--home", options.home, "--workers", String(options.workers)],
      ...["--port", String(port), "--http-port", String(httpPort)],
    ];
    const child = options.spawn(process.execPath, [bitfleet, "up", ...flags], {
      // By the channel it learns that the demo is gone, however that ended.
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // A group of its own: Ctrl-C reaches the demo alone, which then stops the fleet in order.
      detached: true,
    });
    const log = join(options.home, "up.log");
    const file = createWriteStream(log);
    child.stdout?.pipe(file, { end: false });
    child.stderr?.pipe(file, { end: false });
    return new Fleet(child, `127.0.0.1:${port}`, log);
  }

  /** Waits until so many workers have joined. */
  async ready(client: BitfleetClient, workers: number, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + readyMs;
    while (performance.now() < deadline) {
      signal.throwIfAborted();
      if (this.#exit !== undefined) break;
      const joined = await client.workers().catch(() => []);
      if (joined.length >= workers) return;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new FailureError(`the fleet did not start; ${this.#log} says why`);
  }

  async stop(): Promise<void> {
    if (this.#exit !== undefined) return;
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGTERM");
    const killing = setTimeout(() => this.#process.kill("SIGKILL"), stopMs);
    await ended;
    clearTimeout(killing);
  }
}
