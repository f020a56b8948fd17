/** The settings of a process, read and checked once. The environment is an argument: only a main.ts reads process.env. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { join, resolve } from "node:path";

import { ConfigError, reasonOf } from "../job/problem.js";
import { isS3, storeAddress } from "../store/s3Address.js";
import { parseAddress, type Address } from "./address.js";
import type { TlsFiles } from "./certificates.js";
import type { LogFormat, LoggerLevel } from "./logLevels.js";
import { natsSettings, type NatsSettings } from "./natsSettings.js";
import { numberOrDefault, readChoice, readNumber, readText } from "./readSetting.js";
import { neededStateFolder, stateFolder } from "./stateFolder.js";
import { scalingTarget, type ScalingTarget } from "./scalingTarget.js";
import { tlsFiles } from "./tlsFiles.js";
import type { Variables } from "./variables.js";

export interface Environment {
  /** Where the coordinator listens. */
  readonly host: string;
  /** gRPC; 0 takes any free port. */
  readonly port: number;
  readonly httpPort: number;
  /** Whether the coordinator's /metrics asks for no token off loopback. */
  readonly metricsAreOpen: boolean;
  /** Where a worker answers probes and Prometheus; undefined: nowhere. */
  readonly workerHttp: Address | undefined;
  /** State folder: nats/, store/, token. Empty for a worker, which needs none, of a user without a home folder. */
  readonly home: string;
  /** A folder or s3://BUCKET/PREFIX?endpoint=URL&region=REGION, else a folder of the state folder. */
  readonly store: string;
  readonly tokenFile: string | undefined;
  /** A coordinator's: who else has a token, and its role. */
  readonly tokensFile: string | undefined;
  /** Own certificate and key, and the CA to trust; undefined: without TLS. */
  readonly tls: TlsFiles | undefined;
  /** Whether a coordinator with a CA asks clients for a certificate of it. */
  readonly clientCertificates: boolean;
  /** A NATS server that is already there. */
  readonly nats: NatsSettings | undefined;
  /** How large the stream of jobs' logs may become in NATS, which sets so much aside; undefined: 1 GiB, or what there is. */
  readonly logBytes: number | undefined;
  /** Where the coordinator's own NATS server listens; 0: where it did before, or on any free port. */
  readonly natsPort: number;
  /** What a coordinator on Kubernetes scales; undefined: nothing. */
  readonly scaling: ScalingTarget | undefined;
  /** The coordinator that a worker joins. */
  readonly join: Address | undefined;
  readonly workerId: string | undefined;
  /** How long a worker keeps a job's state without a coordinator. */
  readonly keepStateSeconds: number;
  /** A worker that is told to stop has so long to finish or hand over what it does. */
  readonly graceMs: number;
  readonly logLevel: LoggerLevel;
  readonly logFormat: LogFormat;
}

/** Throws a ConfigError that names the variable, the value and the bound. An empty variable counts as not set. */
export function readEnvironment(
  variables: Variables,
  part: "coordinator" | "worker" = "coordinator",
): Environment {
  const givenHome = readText(variables, "BITFLEET_HOME");
  const home = part === "worker" ? (stateFolder(givenHome) ?? "") : neededStateFolder(givenHome);
  return {
    host: readText(variables, "BITFLEET_HOST") ?? "127.0.0.1",
    port: numberOrDefault(variables, "BITFLEET_PORT"),
    httpPort: numberOrDefault(variables, "BITFLEET_HTTP_PORT"),
    metricsAreOpen: readChoice(variables, "BITFLEET_METRICS_OPEN") === "on",
    workerHttp: workerHttp(variables),
    home,
    store: store(variables, home),
    tokenFile: readText(variables, "BITFLEET_TOKEN_FILE"),
    tokensFile: readText(variables, "BITFLEET_TOKENS_FILE"),
    tls: tlsFiles(variables),
    clientCertificates: clientCertificates(variables),
    nats: natsSettings(variables),
    natsPort: readNumber(variables, "BITFLEET_NATS_PORT") ?? 0,
    logBytes: readNumber(variables, "BITFLEET_LOG_BYTES"),
    scaling: scalingTarget(variables),
    join: joinAddress(variables),
    workerId: readText(variables, "BITFLEET_WORKER_ID"),
    keepStateSeconds: numberOrDefault(variables, "BITFLEET_KEEP_STATE"),
    graceMs: graceMs(variables),
    logLevel: readChoice(variables, "LOG_LEVEL"),
    logFormat: readChoice(variables, "LOG_FORMAT"),
  };
}

/** With the endpoint and region of this machine in an address of S3, so that one text says all of it. */
function store(variables: Variables, home: string): string {
  const given = readText(variables, "BITFLEET_STORE") ?? join(home, "store");
  return isS3(given) ? storeAddress(given, variables) : resolve(given);
}

const tokenBytesMax = 4096;

export interface TokenFile {
  readonly token: string;
  /** What is wrong with the file, although it was accepted; a sentence for the log. */
  readonly warning: string | undefined;
}

/** Reads a token: one line of visible ASCII. Throws a ConfigError that names the file. */
export function readTokenFile(path: string, name = "BITFLEET_TOKEN_FILE"): TokenFile {
  const { text: content, mode, uid } = readSmallFile(path, name);
  const token = content.trim();
  if (!/^[\x21-\x7e]{8,}$/.test(token))
    throw new ConfigError(`${name}: ${path} must hold one line of at least 8 visible characters`);
  // Kubernetes' secrets are root's, for the pod's group to read: then the group is how we read it.
  const others = uid === process.getuid?.() ? 0o077 : 0o007;
  const open = (mode & others) !== 0;
  return {
    token,
    warning: open ? `${path} can be read by others; chmod 600 keeps it yours` : undefined,
  };
}

export function readSmallFile(
  path: string,
  name: string,
): { readonly text: string; readonly mode: number; readonly uid: number } {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    throw new ConfigError(`${name}: cannot read ${path}: ${reasonOf(error)}`);
  }
  try {
    const { mode, uid } = fstatSync(file);
    const buffer = Buffer.alloc(tokenBytesMax + 1);
    const bytes = readSync(file, buffer, 0, buffer.length, null);
    if (bytes > tokenBytesMax)
      throw new ConfigError(`${name}: ${path} is longer than ${tokenBytesMax} bytes`);
    return { text: buffer.toString("utf8", 0, bytes), mode, uid };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`${name}: cannot read ${path}: ${reasonOf(error)}`);
  } finally {
    closeSync(file);
  }
}

function workerHttp(variables: Variables): Address | undefined {
  const number = readNumber(variables, "BITFLEET_WORKER_HTTP_PORT");
  const host = readText(variables, "BITFLEET_WORKER_HTTP_HOST") ?? "127.0.0.1";
  return number === undefined ? undefined : { host, port: number };
}

function joinAddress(variables: Variables): Address | undefined {
  const value = readText(variables, "BITFLEET_JOIN");
  return value === undefined ? undefined : parseAddress(value, "BITFLEET_JOIN");
}

/** How long a worker that is told to stop may take; see `Environment`. */
export function graceMs(variables: Variables): number {
  return 1000 * numberOrDefault(variables, "BITFLEET_GRACE_SECONDS");
}

function clientCertificates(variables: Variables): boolean {
  const isRequired = readChoice(variables, "BITFLEET_TLS_CLIENT_CERTS") === "require";
  return isRequired && readText(variables, "BITFLEET_TLS_CA_FILE") !== undefined;
}
