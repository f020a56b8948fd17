import { spawn, type ChildProcess } from "node:child_process";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import type { NatsUser } from "../control/message.js";
import { FailureError } from "../job/problem.js";
import { hostPort } from "../process/address.js";
import type { TlsFiles } from "../process/certificates.js";
import { authorization, type NatsUsers } from "./natsRights.js";

export interface NatsServerOptions {
  /** The nats-server program (see findNatsServer). */
  readonly binary: string;
  /** Where JetStream keeps its records; the configuration, secrets included, is written here too. */
  readonly folder: string;
  readonly host?: string;
  /** Left out, any free port. */
  readonly port?: number;
  /** Left out, the server is open to whoever reaches it. */
  readonly users?: NatsUsers;
  /** Left out, it speaks no TLS. */
  readonly tls?: NatsServerTls | undefined;
  readonly maxPayloadBytes?: number;
  /** Called with each line that the server logs. */
  readonly onLog?: (line: string) => void;
  /** Called when the server ends without being told to. */
  readonly onExit?: (reason: string) => void;
}

export interface NatsServerTls {
  readonly files: TlsFiles;
  /** Whether clients have to show a certificate that the CA has signed. */
  readonly clientCertificates: boolean;
}

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  /** Has it read its certificates again. */
  reload(): void;
  stop(): Promise<void>;
}

const readyWithinMs = 10_000;
const stopWithinMs = 5000;

/**
 * Runs the server and ends it when this process is gone, however that went: then the pipe ends.
 * The session is its own, so that an interrupt at the terminal leaves the order of things to us.
 */
const supervise = `exec 3<&0
"$1" -c "$2" </dev/null & server=$!
trap 'kill -HUP "$server"' HUP
{ cat <&3 >/dev/null; kill "$server"; kill -CONT "$server"; sleep 5; kill -KILL "$server"; } 2>/dev/null & watch=$!
wait "$server"; code=$?
# A signal ends the waiting, not the server.
while kill -0 "$server" 2>/dev/null; do wait "$server"; code=$?; done
kill "$watch" 2>/dev/null
exit "$code"`;

/** Starts a nats-server with JetStream and waits until it takes connections. */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const host = options.host ?? "127.0.0.1";
  const configuration = join(options.folder, "nats.conf");
  await mkdir(options.folder, { recursive: true });
  // Passwords go into a file, as the command line can be read by everyone.
  await writeFile(configuration, configurationOf(options, host), { mode: 0o600 });
  await chmod(configuration, 0o600);
  const child = spawn("/bin/sh", ["-c", supervise, "sh", options.binary, configuration], {
    stdio: ["pipe", "ignore", "pipe"],
    detached: true,
  });
  child.stdin.on("error", () => undefined);
  const port = await readyPort(child, options, host);
  const state = { isStopping: false };
  child.once("exit", (code, signal) => {
    // Whoever ends the shell alone would leave a server that nobody watches, on the port and the folder of the next one.
    killGroup(child);
    if (!state.isStopping) options.onExit?.(`nats-server ended (${signal ?? code ?? "?"})`);
  });
  return {
    url: `${options.tls === undefined ? "nats" : "tls"}://${hostPort({ host, port })}`,
    port,
    reload: () => void child.kill("SIGHUP"),
    stop: async () => {
      state.isStopping = true;
      await stop(child);
    },
  };
}

/**
 * The nats-server to run: $BITFLEET_NATS_SERVER, else what the set-up noted in `toolchainFile`,
 * else the first on the PATH. Throws a FailureError if there is none.
 */
export async function findNatsServer(
  environment: Readonly<Record<string, string | undefined>>,
  toolchainFile: string,
): Promise<string> {
  const named = environment["BITFLEET_NATS_SERVER"];
  if (named !== undefined && named !== "") {
    if (await isFile(named)) return named;
    throw new FailureError(`BITFLEET_NATS_SERVER names ${named}, which is no file`);
  }
  const onPath = (environment["PATH"] ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, "nats-server"));
  const installed = await installedServer(toolchainFile);
  for (const path of installed === undefined ? onPath : [installed, ...onPath]) {
    if (await isFile(path)) return path;
  }
  throw new FailureError(
    "no nats-server found: run `npm run demo` or `npm test` once, which install it, " +
      "or set NATS_URL or BITFLEET_NATS_SERVER",
  );
}

/** The server's nats.conf; relative paths are from where it is started. */
export function configurationOf(options: Omit<NatsServerOptions, "binary">, host: string): string {
  const lines = [
    `host: ${JSON.stringify(host)}`,
    `port: ${options.port ?? -1}`,
    `jetstream { store_dir: ${JSON.stringify(join(options.folder, "jetstream"))}`,
    // An acknowledged record is on the disk: the default would risk two minutes of them.
    "  sync_interval: always }",
    'ping_interval: "10s"',
  ];
  if (options.maxPayloadBytes !== undefined) lines.push(`max_payload: ${options.maxPayloadBytes}`);
  if (options.tls !== undefined) lines.push(tlsConfiguration(options.tls));
  if (options.users !== undefined) {
    const { coordinator, worker } = options.users;
    lines.push(authorization({ coordinator: quoted(coordinator), worker: quoted(worker) }));
  }
  return `${lines.join("\n")}\n`;
}

function tlsConfiguration({ files, clientCertificates }: NatsServerTls): string {
  const named = Object.entries({
    cert_file: files.certificate,
    key_file: files.key,
    ca_file: clientCertificates ? files.ca : undefined,
  }).flatMap(([name, file]) => (file === undefined ? [] : `${name}: ${JSON.stringify(file)}`));
  return `tls { ${named.join(", ")}, verify: ${String(clientCertificates)} }`;
}

function quoted({ user, secret }: NatsUser): NatsUser {
  return { user, secret: JSON.stringify(secret) };
}

async function readyPort(
  child: ChildProcess,
  options: NatsServerOptions,
  host: string,
): Promise<number> {
  const log: string[] = [];
  return new Promise((resolve, reject) => {
    let port = 0;
    const fail = (message: string): void => {
      clearTimeout(timer);
      child.stdin?.end();
      reject(new FailureError(message));
    };
    const timer = setTimeout(() => {
      fail(`nats-server was not ready within ${readyWithinMs / 1000} s: ${log.at(-1) ?? ""}`);
    }, readyWithinMs);
    child.once("error", (error) => fail(`cannot start nats-server: ${error.message}`));
    child.once("close", () => fail(reasonOf(log, options, host)));
    if (child.stderr === null) return;
    createInterface(child.stderr).on("line", (line) => {
      options.onLog?.(line);
      log.push(line);
      if (log.length > 50) log.shift();
      port = Number(/Listening for client connections on .*:(\d+)$/.exec(line)?.[1] ?? port);
      if (!line.endsWith("Server is ready")) return;
      clearTimeout(timer);
      resolve(port);
    });
  });
}

function reasonOf(log: readonly string[], options: NatsServerOptions, host: string): string {
  if (log.some((line) => line.includes("address already in use"))) {
    return `port ${options.port ?? 0} of ${host} is in use by another program`;
  }
  const last = log.findLast((line) => /\[(FTL|ERR)\]|nats-server:/.test(line)) ?? log.at(-1);
  return `nats-server (${options.binary}) did not start: ${last ?? "it said nothing"}`;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const timer = setTimeout(() => killGroup(child), stopWithinMs);
  child.stdin?.end();
  await ended;
  clearTimeout(timer);
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody of it is left.
  }
}

async function installedServer(toolchainFile: string): Promise<string | undefined> {
  try {
    const toolchain: unknown = JSON.parse(await readFile(toolchainFile, "utf8"));
    const found =
      typeof toolchain === "object" && toolchain !== null && "natsServer" in toolchain
        ? toolchain.natsServer
        : undefined;
    return typeof found === "string" ? found : undefined;
  } catch {
    return undefined; // The set-up has not run.
  }
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
