/** A whole fleet on this machine: a coordinator, and workers that are kept up. */
import { plural } from "../job/plural.js";
import { mkdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { hostPort } from "../process/address.js";
import { graceMs } from "../process/environment.js";
import type { Variables } from "../process/variables.js";
import { FailureError } from "../job/problem.js";
import { gpuFor, type Gpu } from "./gpus.js";
import { LogFile } from "./logFile.js";
import { KeptPart } from "./keptPart.js";
import { PartProcess, type Ended } from "./processes.js";
import { plain } from "./text.js";
import { WorkerSet } from "./workerSet.js";

export interface FleetUpOptions {
  /** For the coordinator, and with additions for the workers. */
  readonly environment: Variables;
  /** What the workers show in place of the coordinator's own token, which is an admin's. */
  readonly workerTokenFile: string | undefined;
  readonly home: string;
  /** Where workers on this machine reach the coordinator. */
  readonly localHost: string;
  /** How many at first. */
  readonly workers: number;
  /** Dealt to the workers in turn. */
  readonly gpus: readonly Gpu[];
  /** Lines for people. */
  readonly say: (line: string) => void;
}

/** What a part is given to stop by itself, before it is killed. */
const workerEndingMs = 15_000;
const coordinatorGraceMs = 20_000;
/** Wrong use: starting again would end alike. */
const wrongUse = 2;

export interface Serving {
  readonly port: number;
  /** Of NATS, as the coordinator tells it the workers. */
  readonly natsUrl: string;
}

export class FleetUp {
  readonly #options: FleetUpOptions;
  readonly #logs = new Map<string, LogFile>();
  /** Once the coordinator serves. */
  #workers: WorkerSet | undefined;
  #wanted: number;
  readonly #coordinator: KeptPart;
  #lastWords = "";
  #served = false;
  #stopping = false;
  #onServing: (serving: Serving) => void = () => undefined;

  /** Starts the coordinator; the workers follow once it serves, and `onServing` is told then, once. */
  constructor(options: FleetUpOptions, onServing: (serving: Serving) => void) {
    this.#options = options;
    this.#wanted = options.workers;
    mkdirSync(this.logFolder, { recursive: true });
    this.#onServing = (serving) => {
      this.#startWorkers(serving);
      onServing(serving);
    };
    const log = this.#log("coordinator");
    this.#coordinator = new KeptPart({
      start: () => this.#startCoordinator(log),
      // One that has never served would not serve the next time either: its port is in use, or there is no NATS.
      isFinal: ({ code }) => !this.#served || code === wrongUse,
      onEnd: (ended, waitMs) => this.#tell("the coordinator", ended, waitMs),
      graceMs: coordinatorGraceMs,
    });
  }

  get logFolder(): string {
    return join(this.#options.home, "logs");
  }

  /** Resolves when the coordinator has ended for good, with its end and its last words on stderr. */
  async over(): Promise<{ readonly ended: Ended; readonly lastWords: string }> {
    return { ended: await this.#coordinator.over, lastWords: this.#lastWords };
  }

  /** Workers first, so that each leaves its fleet in order; then the coordinator, and with it its NATS server. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#workers?.stop();
    await this.#coordinator.stop();
    for (const log of this.#logs.values()) log.close();
  }

  #startCoordinator(log: LogFile): PartProcess {
    const onLine = (line: string, stream: "stdout" | "stderr"): void => {
      log.write(line);
      if (stream === "stderr") {
        this.#lastWords = plain(line);
        if (this.#served) this.#options.say(`coordinator: ${plain(line)}`);
        return;
      }
      const serving = servingOf(line);
      if (serving === undefined || this.#served || this.#stopping) return;
      this.#served = true;
      this.#onServing(serving);
    };
    const scale = (workers: number): number => this.#scale(workers);
    return new PartProcess("coordinator", this.#options.environment, onLine, scale);
  }

  /** What an administrator asks for through the coordinator. FailureError: we are stopping. */
  #scale(workers: number): number {
    if (this.#stopping) throw new FailureError("`bitfleet up` is stopping");
    this.#options.say(`asked for ${plural(workers, "worker")}`);
    this.#wanted = workers;
    this.#workers?.scale(workers);
    return workers;
  }

  #startWorkers({ port }: Serving): void {
    const address = hostPort({ host: this.#options.localHost, port });
    this.#workers = new WorkerSet((i) => this.#startWorker(i, address));
    this.#workers.scale(this.#wanted);
  }

  #startWorker(i: number, address: string): KeptPart {
    const name = `worker-${i + 1}`;
    const log = this.#log(name);
    const gpu = gpuFor(this.#options.gpus, i);
    const { workerTokenFile } = this.#options;
    const own = workerTokenFile === undefined ? {} : { BITFLEET_TOKEN_FILE: workerTokenFile };
    const forAll = { ...this.#options.environment, ...own };
    const environment = workerEnvironment(forAll, { address, i, gpu });
    return new KeptPart({
      start: () =>
        new PartProcess("worker", environment, (line, stream) => {
          log.write(line);
          if (stream === "stderr") this.#options.say(`${name}: ${plain(line)}`);
        }),
      // One that was drained is not wanted back.
      isFinal: ({ code }) => code === wrongUse || code === 0,
      onEnd: (ended, waitMs) => this.#tell(name, ended, waitMs),
      graceMs: graceMs(environment) + workerEndingMs,
    });
  }

  #tell(name: string, { code, signal }: Ended, waitMs: number | undefined): void {
    if (name === "the coordinator" && !this.#served) return;
    const how = signal === undefined ? `ended with code ${code}` : `was ended by ${signal}`;
    const then =
      waitMs === undefined ? "it is not started again" : `starting it again in ${waitMs / 1000} s`;
    this.#options.say(`${name} ${how}; ${then}`);
  }

  #log(name: string): LogFile {
    const known = this.#logs.get(name);
    if (known !== undefined) return known;
    const log = new LogFile(join(this.logFolder, `${name}.log`));
    this.#logs.set(name, log);
    return log;
  }
}

/** What the coordinator's line `serving` says; undefined for any other line. */
export function servingOf(line: string): Serving | undefined {
  if (!line.includes('"serving"')) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  if (!("msg" in value) || value.msg !== "serving" || !("port" in value)) return undefined;
  if (typeof value.port !== "number") return undefined;
  const natsUrl = "nats" in value && typeof value.nats === "string" ? value.nats : "";
  return { port: value.port, natsUrl };
}

/** What worker `i` is told. Each answers HTTP, where they are to, on a port of its own. */
export function workerEnvironment(
  environment: Variables,
  { address, i, gpu }: { address: string; i: number; gpu: Gpu | undefined },
): Variables {
  const httpPort = environment["BITFLEET_WORKER_HTTP_PORT"] ?? "";
  // 0 takes a free one; what is no number is the worker's to refuse.
  const own = /^[1-9]\d*$/.test(httpPort) ? String(Number(httpPort) + i) : httpPort;
  return {
    ...environment,
    BITFLEET_JOIN: address,
    BITFLEET_WORKER_ID: workerId(i),
    BITFLEET_WORKER_HTTP_PORT: own,
    ...(gpu === undefined ? {} : { CUDA_VISIBLE_DEVICES: gpu.id }),
  };
}

/** The same at every start, so that a worker that comes back takes its own place. */
function workerId(i: number): string {
  const host = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, "-")
    .replace(/^-+/, "")
    .slice(0, 40);
  return `${host === "" ? "worker" : host}-${i + 1}`;
}
