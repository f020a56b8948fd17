import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type BitfleetClient, type ClientOptions } from "../../src/client/client.js";
import { anyPort } from "../../src/process/port.js";
import { packageRoot } from "../../src/process/toolchain.js";

/** One process of ours with what it has written. */
export class RunningProcess {
  readonly #process: ChildProcess;
  #output = "";
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;

  constructor(
    file: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
  ) {
    this.#process = spawn(process.execPath, [join(packageRoot(), "dist", file), ...args], {
      // A server that the machine happens to name is not the test's.
      env: { ...process.env, NATS_URL: "", ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const keep = (chunk: Buffer): void => {
      this.#output += chunk.toString();
    };
    this.#process.stdout?.on("data", keep);
    this.#process.stderr?.on("data", keep);
    this.ended = new Promise((resolve) => {
      this.#process.on("close", (code, signal) => resolve({ code, signal }));
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get output(): string {
    return this.#output;
  }

  /** From here on nobody reads what it writes, as after `| head`. */
  closeOutput(): void {
    this.#process.stdout?.destroy();
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** SIGTERM, and after ten seconds SIGKILL. */
  async stop(): Promise<void> {
    this.#process.kill("SIGTERM");
    const killing = setTimeout(() => this.#process.kill("SIGKILL"), 10_000);
    await this.ended;
    clearTimeout(killing);
  }
}

type Variables = Readonly<Record<string, string>>;

/** What each part is told beside where the others are. */
export interface FleetSettings {
  readonly coordinator: Variables;
  readonly worker: Variables;
  readonly command: Variables;
  readonly client: Omit<ClientOptions, "address">;
}

const open: FleetSettings = { coordinator: {}, worker: {}, command: {}, client: {} };

/** A coordinator with its own NATS unless it is told of one, and workers, all real processes in a temporary folder. */
export class FleetProcesses {
  readonly folder: string;
  readonly port: number;
  readonly httpPort: number;
  readonly client: BitfleetClient;
  readonly workers = new Map<string, RunningProcess>();
  #coordinator: RunningProcess;
  readonly #settings: FleetSettings;
  readonly #environment: Variables;

  private constructor(folder: string, port: number, httpPort: number, settings: FleetSettings) {
    this.folder = folder;
    this.port = port;
    this.httpPort = httpPort;
    this.#settings = settings;
    this.#environment = {
      BITFLEET_HOME: join(folder, "home"),
      BITFLEET_PORT: String(port),
      BITFLEET_HTTP_PORT: String(httpPort),
      BITFLEET_JOIN: `127.0.0.1:${port}`,
    };
    this.#coordinator = this.#startCoordinator();
    this.client = connect({ address: `127.0.0.1:${port}`, ...settings.client });
  }

  static async start(settings = open): Promise<FleetProcesses> {
    const folder = await mkdtemp(join(tmpdir(), "bitfleet-test-"));
    return new FleetProcesses(folder, await anyPort(), await anyPort(), settings);
  }

  get coordinator(): RunningProcess {
    return this.#coordinator;
  }

  /** Starts another coordinator on the same home and ports after the first has ended. */
  restartCoordinator(): void {
    this.#coordinator = this.#startCoordinator();
  }

  addWorker(id: string, environment: Readonly<Record<string, string>> = {}): RunningProcess {
    const worker = new RunningProcess("worker/main.js", [], {
      ...this.#settings.worker,
      ...this.#environment,
      BITFLEET_WORKER_ID: id,
      ...environment,
    });
    this.workers.set(id, worker);
    return worker;
  }

  async removeWorker(id: string): Promise<void> {
    await this.workers.get(id)?.stop();
    this.workers.delete(id);
  }

  /** Runs the command line against this fleet. */
  async bitfleet(
    ...args: readonly string[]
  ): Promise<{ readonly code: number | null; readonly output: string }> {
    const command = this.command(...args);
    const { code } = await command.ended;
    return { code, output: command.output };
  }

  /** Starts the command line against this fleet. */
  command(...args: readonly string[]): RunningProcess {
    return new RunningProcess("src/cli/main.js", args, {
      ...this.#settings.command,
      BITFLEET_COORDINATOR: `127.0.0.1:${this.port}`,
      NO_COLOR: "1",
    });
  }

  async waitForWorkers(count: number): Promise<void> {
    await until(`${count} workers`, async () => {
      const workers = await this.client.workers().catch(() => []);
      return workers.filter(({ state }) => state !== "lost").length >= count;
    });
  }

  async stop(): Promise<void> {
    this.client.close();
    await Promise.all([...this.workers.values()].map((worker) => worker.stop()));
    await this.#coordinator.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  #startCoordinator(): RunningProcess {
    return new RunningProcess("coordinator/main.js", [], {
      ...this.#settings.coordinator,
      ...this.#environment,
    });
  }
}

/** Asks again until it is so; the deadline is generous, since it only bounds a failure. */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  withinMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`still not: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
