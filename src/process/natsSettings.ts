/** The NATS server that a process is told of, and how to connect there. */
import { ConfigError } from "../job/problem.js";
import type { TlsFiles } from "./certificates.js";
import { tlsFiles, type Variables } from "./environment.js";

export interface NatsSettings {
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

function address(value: string): { readonly url: string; readonly token: string } {
  const refusal = new ConfigError(
    "NATS_URL must be nats://HOST:PORT or nats://TOKEN@HOST:PORT, and is not",
  );
  let url: URL;
  let token: string;
  try {
    url = new URL(value.includes("://") ? value : `nats://${value}`);
    token = decodeURIComponent(url.username);
  } catch {
    throw refusal;
  }
  // The value may hold a token, so the refusal does not repeat it.
  if (!["nats:", "tls:"].includes(url.protocol) || url.hostname === "" || url.password !== "")
    throw refusal;
  const port = url.port === "" ? "4222" : url.port;
  return { url: `${url.protocol}//${url.hostname}:${port}`, token };
}
