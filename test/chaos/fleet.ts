/**
 * A fleet of real processes in a temporary folder, with a proxy on every way between them:
 *
 *   worker i --127.0.1.i--> proxies --> coordinator (127.0.0.1) and nats-server (127.0.0.2)
 *   coordinator --127.0.0.1--> a proxy --> nats-server
 *
 * All addresses share one port for gRPC and one for NATS. The coordinator is given NATS at 0.0.0.0, where Linux dials
 * 127.0.0.1; a worker puts the host that it joined in place of such an address. The client here goes to the coordinator
 * directly.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type BitfleetClient } from "../../src/client/client.js";
import { anyPort, canListen } from "../../src/process/port.js";
import { packageRoot, readToolchain } from "../../src/process/toolchain.js";
import { until } from "../support/fleetProcesses.js";
import { KeptProcess } from "./keptProcess.js";
import { processesWith, signal } from "./processes.js";
import { FaultProxy } from "./proxy.js";

/** One worker and its ways to the others. */
export interface Post {
  readonly process: KeptProcess;
  readonly grpc: FaultProxy;
  readonly nats: FaultProxy;
}

export interface FleetOptions {
  readonly folder: string;
  readonly workers: number;
  /** Told of every process that ended although nobody here asked it to. */
  readonly onEnd: (name: string, how: string) => void;
}

interface Ports {
  readonly grpc: number;
  readonly nats: number;
  readonly http: number;
}

const mark = "BITFLEET_CHAOS";
const coordinatorHost = "127.0.0.1";
const natsHost = "127.0.0.2";

export class ChaosFleet {
  readonly folder: string;
  readonly client: BitfleetClient;
  readonly nats: KeptProcess;
  readonly coordinator: KeptProcess;
  /** The coordinator's way to NATS. */
  readonly coordinatorNats: FaultProxy;
  readonly posts: readonly Post[];
  readonly #ports: Ports;
  #stopped: Promise<void> | undefined;

  static async start(options: FleetOptions): Promise<ChaosFleet> {
    const { folder, workers } = options;
    for (const name of ["tmp", "logs", "nats"]) mkdirSync(join(folder, name), { recursive: true });
    const ports = await freePorts(hostsOf(workers));
    const wayTo = (from: string, host: string, port: number): Promise<FaultProxy> =>
      FaultProxy.listen({ host: from, port }, { host, port });
    const posts: Post[] = [];
    for (let i = 0; i < workers; i += 1) {
      posts.push({
        process: workerProcess(options, ports, i),
        grpc: await wayTo(hostOf(i), coordinatorHost, ports.grpc),
        nats: await wayTo(hostOf(i), natsHost, ports.nats),
      });
    }
    const coordinatorNats = await wayTo(coordinatorHost, natsHost, ports.nats);
    const fleet = new ChaosFleet(options, ports, posts, coordinatorNats);
    fleet.nats.start();
    await until("a NATS server that listens", async () => !(await canListen(natsHost, ports.nats)));
    fleet.coordinator.start();
    return fleet;
  }

  private constructor(
    options: FleetOptions,
    ports: Ports,
    posts: readonly Post[],
    coordinatorNats: FaultProxy,
  ) {
    this.folder = options.folder;
    this.#ports = ports;
    this.posts = posts;
    this.coordinatorNats = coordinatorNats;
    this.nats = natsProcess(options, ports);
    this.coordinator = coordinatorProcess(options, ports);
    this.client = connect({ address: `${coordinatorHost}:${ports.grpc}` });
  }

  get natsUrl(): string {
    return `nats://${natsHost}:${this.#ports.nats}`;
  }

  /** Where the processes put their temporary files. */
  get temporaryFolder(): string {
    return join(this.folder, "tmp");
  }

  /** Brings the fleet to so many running workers, and waits until the coordinator knows them. */
  async scale(workers: number): Promise<void> {
    for (const { process } of this.posts.slice(0, workers)) process.start();
    await Promise.all(this.posts.slice(workers).map(({ process }) => process.stop()));
    await until(`${workers} workers`, async () => {
      const all = await this.client.workers().catch(() => []);
      return all.filter(({ state }) => state !== "lost").length === workers;
    });
  }

  /** Workers that are started from now on take so much longer for each shard, without need of the CPU. */
  slowDown(seconds: number): void {
    for (const { process } of this.posts) {
      process.setEnvironment({
        BITFLEET_FAILPOINTS: seconds === 0 ? undefined : `slow=${seconds}@0*`,
      });
    }
  }

  /** Every process of the fleet, those of jobs included. */
  processes(): readonly number[] {
    return processesWith(mark, this.folder);
  }

  /** Addresses where something still listens. */
  async takenPorts(): Promise<readonly string[]> {
    const { grpc, nats, http } = this.#ports;
    const taken: string[] = [];
    for (const host of hostsOf(this.posts.length)) {
      for (const port of host === coordinatorHost ? [grpc, nats, http] : [grpc, nats]) {
        if (!(await canListen(host, port))) taken.push(`${host}:${port}`);
      }
    }
    return taken;
  }

  /** Workers first, so that each leaves in order; then the coordinator, and last NATS. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.client.close();
    // The victims of a fault that is not over yet hear nothing.
    for (const pid of this.processes()) signal(pid, "SIGCONT");
    await Promise.all(this.posts.map(({ process }) => process.close()));
    await this.coordinator.close();
    await this.nats.close();
    const proxies = this.posts.flatMap(({ grpc, nats }) => [grpc, nats]);
    await Promise.all([...proxies, this.coordinatorNats].map((proxy) => proxy.close()));
  }
}

/** For when there is no time to stop it in order, or no fleet came to be. */
export function destroyFleet(folder: string): void {
  for (const pid of processesWith(mark, folder)) signal(pid, "SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

function hostOf(worker: number): string {
  return `127.0.1.${worker + 1}`;
}

function hostsOf(workers: number): readonly string[] {
  return [coordinatorHost, natsHost, ...Array.from({ length: workers }, (_, i) => hostOf(i))];
}

/** Ports that are free at every address at once. */
async function freePorts(hosts: readonly string[]): Promise<Ports> {
  const ports: number[] = [];
  while (ports.length < 3) {
    const port = await anyPort();
    const free = await Promise.all(hosts.map((host) => canListen(host, port)));
    if (!ports.includes(port) && free.every((isFree) => isFree)) ports.push(port);
  }
  const [grpc = 0, nats = 0, http = 0] = ports;
  return { grpc, nats, http };
}

function natsProcess(options: FleetOptions, { nats }: Ports): KeptProcess {
  const { folder } = options;
  const configuration = join(folder, "nats", "nats.conf");
  const jetstream = `jetstream { store_dir: "${join(folder, "nats")}", sync_interval: always }`;
  writeFileSync(configuration, `listen: "${natsHost}:${nats}"\n${jetstream}\n`);
  return kept(options, "nats", readToolchain().natsServer, ["-c", configuration], {});
}

function coordinatorProcess(options: FleetOptions, { grpc, nats, http }: Ports): KeptProcess {
  return ourProcess(options, "coordinator", "coordinator/main.js", {
    BITFLEET_HOST: coordinatorHost,
    BITFLEET_PORT: String(grpc),
    BITFLEET_HTTP_PORT: String(http),
    NATS_URL: `nats://0.0.0.0:${nats}`,
  });
}

function workerProcess(options: FleetOptions, { grpc }: Ports, i: number): KeptProcess {
  const name = `worker-${i + 1}`;
  return ourProcess(options, name, "worker/main.js", {
    BITFLEET_JOIN: `${hostOf(i)}:${grpc}`,
    BITFLEET_WORKER_ID: name,
  });
}

function ourProcess(
  options: FleetOptions,
  name: string,
  file: string,
  environment: Readonly<Record<string, string>>,
): KeptProcess {
  const home = { BITFLEET_HOME: join(options.folder, "home") };
  const path = join(packageRoot(), "dist", file);
  return kept(options, name, process.execPath, [path], { ...home, ...environment });
}

function kept(
  { folder, onEnd }: FleetOptions,
  name: string,
  command: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): KeptProcess {
  // What the machine happens to name is not this fleet's.
  const inherited = Object.entries(process.env).filter(
    ([variable]) => !variable.startsWith("BITFLEET_") && variable !== "NATS_URL",
  );
  return new KeptProcess({
    ...{ name, command, args },
    environment: {
      ...Object.fromEntries(inherited),
      TMPDIR: join(folder, "tmp"),
      [mark]: folder,
      ...environment,
    },
    logFile: join(folder, "logs", `${name}.log`),
    onEnd: (how) => onEnd(name, how),
  });
}
