/** Which coordinator a command talks to, and with which token. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { connect, type BitfleetClient } from "../client/client.js";
import { readTls } from "../process/certificates.js";
import { stateFolder } from "../process/stateFolder.js";
import { readTokenFile } from "../process/environment.js";
import { tlsFiles } from "../process/tlsFiles.js";
import type { Variables } from "../process/variables.js";
import { defaultPort } from "../process/processSettings.js";
import { withFlags } from "./partFlags.js";
import { checkTilde } from "./fromHere.js";

export interface ConnectionFlags {
  readonly coordinator?: string;
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** Adds the flags that every command with a coordinator has. */
export function withConnection(command: Command): Command {
  return withFlags(command, "client");
}

/** ConfigError: the token file cannot be read, or the address is none. */
export function openClient(flags: ConnectionFlags, variables: Variables): BitfleetClient {
  const given = flags.coordinator ?? filled(variables["BITFLEET_COORDINATOR"]);
  const address = given ?? `127.0.0.1:${defaultPort}`;
  const file =
    flags.tokenFile ?? filled(variables["BITFLEET_TOKEN_FILE"]) ?? ownTokenFile(given, variables);
  for (const [flag, path] of [
    ["--token-file", file],
    ["--tls-ca", flags.tlsCa],
    ["--tls-cert", flags.tlsCert],
    ["--tls-key", flags.tlsKey],
  ] as const)
    if (path !== undefined) checkTilde(path, flag);
  const token = file === undefined ? "" : readTokenFile(file, "--token-file").token;
  const tls = tlsFiles({
    BITFLEET_TLS_CA_FILE: flags.tlsCa ?? variables["BITFLEET_TLS_CA_FILE"],
    BITFLEET_TLS_CERT_FILE: flags.tlsCert ?? variables["BITFLEET_TLS_CERT_FILE"],
    BITFLEET_TLS_KEY_FILE: flags.tlsKey ?? variables["BITFLEET_TLS_KEY_FILE"],
  });
  if (tls !== undefined) readTls(tls);
  return connect({ address, token, tls });
}

/** Runs with a client that is closed whatever happens. */
export async function withClient<T>(
  flags: ConnectionFlags,
  variables: Variables,
  use: (client: BitfleetClient) => Promise<T>,
): Promise<T> {
  const client = openClient(flags, variables);
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

/** The token that `bitfleet up` has made here, for this machine's own coordinator only: another one must not see it. */
function ownTokenFile(address: string | undefined, variables: Variables): string | undefined {
  if (address !== undefined) return undefined;
  const home = stateFolder(variables["BITFLEET_HOME"]);
  const file = home === undefined ? undefined : join(home, "token");
  return file !== undefined && existsSync(file) ? file : undefined;
}

function filled(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
