/**
 * The NATS server of a fleet that was given none. It keeps its port and its passwords from one life of the coordinator to the next,
 * so that workers which hold a job's state find it where it was; and it is started again when it ends by itself, or when a write
 * of its own has failed: it takes no more into that stream then, even once its disk has room again.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { assert } from "../src/job/problem.js";
import {
  startNatsServer,
  type NatsServer,
  type NatsServerOptions,
} from "../src/link/natsServer.js";
import type { NatsUsers } from "../src/link/natsRights.js";
import type { ServerTls } from "../src/link/service.js";
import { bracketed, isLoopback } from "../src/process/address.js";
import type { TlsFiles } from "../src/process/certificates.js";
import type { Logger } from "../src/process/logger.js";
import { canListen, freePort } from "../src/process/port.js";
import type { ReachedNats } from "./natsAccess.js";

export interface LocalNatsOptions {
  readonly binary: string;
  /** The coordinator's. */
  readonly host: string;
  /** 0: the one of its former life, or any that is free. */
  readonly natsPort: number;
  readonly home: string;
  /** The coordinator's for gRPC, which off loopback are the server's too. */
  readonly tls: ServerTls | undefined;
  /** What the coordinator itself shows that server. */
  readonly clientTls: TlsFiles | undefined;
  readonly logger: Logger;
}

/** A wildcard host in the workers' address stands for the one under which they reach the coordinator. */
export interface LocalNats extends ReachedNats {
  stop(): Promise<void>;
}

const restartMs = 500;
/** With a full disk it has to be tried how long it is full; each try costs the workers a reconnect. */
const fullRetryMs = 5000;
const failedWrite = /critical write error: (.*)$/;
/** How long a server that outlived its coordinator may take to end. */
const formerMs = 10_000;

export async function startLocalNats(options: LocalNatsOptions): Promise<LocalNats> {
  const { host, logger } = options;
  const folder = join(options.home, "nats");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // On loopback too: what a worker may do does not depend on where it runs.
  const users = await keptUsers(folder);
  const portFile = join(folder, "port");
  const port =
    options.natsPort === 0
      ? await formerPort(portFile, host)
      : await namedPort(options.natsPort, host);
  const stopping = new AbortController();
  const secure = securing(options);
  let server: NatsServer;
  let isStuck = false;
  const serverOptions = (fixedPort: number | undefined): NatsServerOptions => ({
    binary: options.binary,
    folder,
    host,
    ...(fixedPort === undefined ? {} : { port: fixedPort }),
    users,
    tls: secure && { ...secure, files: secure.watched.files },
    onExit: (reason) => {
      logger.error({ reason }, "the NATS server ended; starting it again");
      void restart();
    },
    onLog: (line) => {
      const reason = failedWrite.exec(line)?.[1];
      if (reason !== undefined && !isStuck) void unstick(reason);
    },
  });
  const unstick = async (reason: string): Promise<void> => {
    isStuck = true;
    logger.error({ reason }, "the NATS server cannot write; starting it again in a while");
    await sleep(fullRetryMs, undefined, { signal: stopping.signal }).catch(() => undefined);
    if (stopping.signal.aborted) return;
    await server.stop();
    // What it still says while it stops is of the same trouble.
    isStuck = false;
    await restart();
  };
  let restarting: Promise<void> | undefined;
  const restart = (): Promise<void> => {
    restarting ??= startAgain().finally(() => (restarting = undefined));
    return restarting;
  };
  const startAgain = async (): Promise<void> => {
    while (!stopping.signal.aborted)
      try {
        server = await startNatsServer(serverOptions(server.port));
        logger.info({ port: server.port }, "the NATS server runs again");
        return;
      } catch (error) {
        logger.error({ reason: String(error) }, "the NATS server does not start");
        await sleep(restartMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      }
  };
  server = await startNatsServer(serverOptions(port));
  await writeFile(join(folder, "port"), `${server.port}\n`);
  secure?.watched.onChange(() => server.reload());
  return {
    ...accessTo(options, server.port, users),
    stop: async () => {
      stopping.abort();
      await server.stop();
    },
  };
}

/** What does not leave this machine nobody can read on its way. */
function securing({ host, tls }: LocalNatsOptions): ServerTls | undefined {
  return isLoopback(host) ? undefined : tls;
}

function accessTo(options: LocalNatsOptions, port: number, users: NatsUsers): ReachedNats {
  const { host, clientTls } = options;
  const secure = securing(options);
  const scheme = secure === undefined ? "nats" : "tls";
  const files = clientTls ?? secure?.watched.files;
  return {
    target: {
      url: `${scheme}://${bracketed(dialable(host))}:${port}`,
      login: () => users.coordinator,
      tls: secure && files && { files, isOwnServer: true },
    },
    workerAccess: { url: `${scheme}://${bracketed(host)}:${port}`, ...users.worker },
  };
}

/** The port that was named, once the server of a former life has left it. FailureError: another process has it. */
async function namedPort(port: number, host: string): Promise<number> {
  const endsAtMs = performance.now() + formerMs;
  while (!(await canListen(host, port))) {
    if (performance.now() > endsAtMs) return freePort(host, port, "BITFLEET_NATS_PORT");
    await sleep(50);
  }
  return port;
}

/** The port of the coordinator's former life, once nobody listens there any more; undefined: take any. */
async function formerPort(file: string, host: string): Promise<number | undefined> {
  const port = Number(await readFile(file, "utf8").catch(() => ""));
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  const endsAtMs = performance.now() + formerMs;
  while (!(await canListen(host, port))) {
    if (performance.now() > endsAtMs) return undefined;
    await sleep(50);
  }
  return port;
}

async function keptUsers(folder: string): Promise<NatsUsers> {
  const [coordinator, worker] = await Promise.all(
    ["coordinator", "worker"].map(async (user) => ({
      user,
      secret: await keptPassword(join(folder, `${user}-password`)),
    })),
  );
  assert(coordinator !== undefined && worker !== undefined, "two users");
  return { coordinator, worker };
}

async function keptPassword(file: string): Promise<string> {
  const kept = (await readFile(file, "utf8").catch(() => "")).trim();
  if (/^[0-9a-f]{64}$/.test(kept)) return kept;
  const password = randomBytes(32).toString("hex");
  await writeFile(file, `${password}\n`, { mode: 0o600 });
  return password;
}

function dialable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}
