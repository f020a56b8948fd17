/** The NATS server that a process is told of, and how to connect there. */
import { isIP } from "node:net";

import { ConfigError } from "../job/problem.js";
import type { TlsFiles } from "./certificates.js";
import { tlsFiles } from "./tlsFiles.js";
import type { Variables } from "./variables.js";

export interface NatsSettings {
  /** Of one server, or of several with commas between them. */
  readonly url: string;
  /** From the URL; empty: none. */
  readonly token: string;
  readonly user: NatsUserSetting | undefined;
  /** As whom workers connect; undefined: as the coordinator. */
  readonly workerUser: NatsUserSetting | undefined;
}

export interface NatsUserSetting {
  readonly user: string;
  readonly passwordFile: string;
}

/** ConfigError: NATS_URL is none, or what belongs together is not there together. */
export function natsSettings(variables: Variables): NatsSettings | undefined {
  const [user, workerUser] = [userOf(variables, "NATS"), userOf(variables, "NATS_WORKER")];
  if (workerUser !== undefined && user === undefined)
    throw new ConfigError("NATS_WORKER_USER is set, but NATS_USER, the coordinator's own, is not");
  const value = variables["NATS_URL"] ?? "";
  if (value === "") {
    if (user === undefined) return undefined;
    throw new ConfigError("NATS_USER is set, but NATS_URL, the server that knows it, is not");
  }
  const { url, token } = address(value);
  if (user !== undefined && token !== "")
    throw new ConfigError("NATS_URL has a token in it and NATS_USER is set, but only one can hold");
  return { url, token, user, workerUser };
}

/**
 * With which certificates to connect to `url`: those that NATS_CA_FILE, NATS_CERT_FILE and NATS_KEY_FILE name, which ask for TLS by
 * themselves; else for a tls:// address those of gRPC, as one CA is all that a small fleet has.
 */
export function natsTls(variables: Variables, url: string): TlsFiles | undefined {
  const own = tlsFiles(variables, "NATS_");
  if (own !== undefined || !url.startsWith("tls://")) return own;
  return tlsFiles(variables) ?? { certificate: undefined, key: undefined, ca: undefined };
}

function userOf(variables: Variables, prefix: string): NatsUserSetting | undefined {
  const [user, passwordFile] = [`${prefix}_USER`, `${prefix}_PASSWORD_FILE`].map(
    (name) => variables[name] ?? "",
  );
  if (user === undefined || passwordFile === undefined) return undefined;
  if ((user === "") !== (passwordFile === ""))
    throw new ConfigError(
      `${prefix}_USER and ${prefix}_PASSWORD_FILE must be set together, and one is not`,
    );
  if (user === "") return undefined;
  if (!/^[A-Za-z0-9_.@-]{1,64}$/.test(user))
    throw new ConfigError(
      `${prefix}_USER is "${user}", but must be 1 to 64 letters, digits or any of _.@-`,
    );
  return { user, passwordFile };
}

/** The servers of a list, in the order given. */
export function natsServers(url: string): readonly string[] {
  return url.split(",");
}

const serversMax = 16;

/** One server, or several of one cluster with commas between them. */
function address(value: string): { readonly url: string; readonly token: string } {
  const servers = natsServers(value).map((server) => oneServer(server.trim()));
  if (servers.length > serversMax)
    throw new ConfigError(
      `NATS_URL has ${servers.length} servers, but at most ${serversMax} are taken`,
    );
  const [first] = servers;
  const others = servers.slice(1);
  if (first === undefined) throw refusal();
  if (others.some(({ protocol }) => protocol !== first.protocol))
    throw new ConfigError("NATS_URL has both nats:// and tls://, but its servers must be alike");
  const tokens = new Set(servers.map(({ token }) => token).filter((token) => token !== ""));
  if (tokens.size > 1)
    throw new ConfigError("NATS_URL has several tokens in it, but its servers must have one");
  const isNumeric = servers.some(({ host }) => isIP(host.replace(/^\[|\]$/g, "")) !== 0);
  if (others.length > 0 && first.protocol === "tls:" && isNumeric)
    throw new ConfigError(
      "NATS_URL has several tls:// servers, which their certificates must know by name: an address is none",
    );
  const url = servers.map(({ protocol, host, port }) => `${protocol}//${host}:${port}`).join(",");
  return { url, token: [...tokens][0] ?? "" };
}

interface NatsServerUrl {
  readonly protocol: string;
  readonly host: string;
  readonly port: string;
  readonly token: string;
}

/** The value may hold a token, so no refusal repeats it. */
function oneServer(value: string): NatsServerUrl {
  let url: URL;
  let token: string;
  try {
    url = new URL(value.includes("://") ? value : `nats://${value}`);
    token = decodeURIComponent(url.username);
  } catch {
    throw refusal();
  }
  const { protocol, hostname: host, password, port } = url;
  if (password !== "")
    throw new ConfigError(
      "NATS_URL must be without a user and a password: NATS_USER names the user, and NATS_PASSWORD_FILE a file with the password",
    );
  if (!["nats:", "tls:"].includes(protocol) || host === "") throw refusal();
  return { protocol, host, port: port === "" ? "4222" : port, token };
}

function refusal(): ConfigError {
  return new ConfigError(
    "NATS_URL must be nats://HOST:PORT or nats://TOKEN@HOST:PORT, or several with commas between them, and is not",
  );
}
