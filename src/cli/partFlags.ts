/** Flags of `up`, `coordinator` and `worker`, and the environment variables that the processes read. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { isS3 } from "../store/s3Address.js";
import type { Variables } from "../process/environment.js";

/** undefined leaves what the environment has. */
export interface PartFlags {
  readonly host?: string;
  readonly port?: string;
  readonly httpPort?: string;
  readonly home?: string;
  readonly store?: string;
  readonly tokenFile?: string;
  readonly tokensFile?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly nats?: string;
  readonly natsPort?: string;
  readonly join?: string;
  readonly id?: string;
  readonly keepState?: string;
  readonly grace?: string;
}

/** The flags that `up` and `coordinator` share. */
export function withCoordinatorFlags(command: Command): Command {
  const first = command
    .option("--port <PORT>", "port for clients and workers, 7450 by default (BITFLEET_PORT)")
    .option(
      "--http-port <PORT>",
      "port for health and status, 7451 by default (BITFLEET_HTTP_PORT)",
    )
    .option("--home <FOLDER>", "state folder, ~/.bitfleet by default (BITFLEET_HOME)")
    .option(
      "--store <PLACE>",
      "folder shared with the workers, or s3://BUCKET/PREFIX (BITFLEET_STORE)",
    )
    .option("--token-file <FILE>", "file with the fleet's token (BITFLEET_TOKEN_FILE)")
    .option("--tokens-file <FILE>", "hashed tokens with their roles (BITFLEET_TOKENS_FILE)");
  return withTlsFlags(first)
    .option(
      "--nats <URL>",
      "NATS with JetStream, several servers of one cluster by commas; else one is started here (NATS_URL)",
    )
    .option(
      "--nats-port <PORT>",
      "port of the NATS server that is started here, any free one by default (BITFLEET_NATS_PORT)",
    );
}

export function withTlsFlags(command: Command): Command {
  return command
    .option("--tls-ca <FILE>", "CA that is trusted (BITFLEET_TLS_CA_FILE)")
    .option("--tls-cert <FILE>", "own certificate (BITFLEET_TLS_CERT_FILE)")
    .option("--tls-key <FILE>", "its key (BITFLEET_TLS_KEY_FILE)");
}

/** The values are checked by the process that reads them. Paths are made absolute from here. */
export function partEnvironment(variables: Variables, flags: PartFlags): Variables {
  const given: Variables = {
    BITFLEET_HOST: flags.host,
    BITFLEET_PORT: flags.port,
    BITFLEET_HTTP_PORT: flags.httpPort,
    BITFLEET_HOME: absolute(flags.home),
    BITFLEET_STORE:
      flags.store !== undefined && isS3(flags.store) ? flags.store : absolute(flags.store),
    BITFLEET_TOKEN_FILE: absolute(flags.tokenFile),
    BITFLEET_TOKENS_FILE: absolute(flags.tokensFile),
    BITFLEET_TLS_CA_FILE: absolute(flags.tlsCa),
    BITFLEET_TLS_CERT_FILE: absolute(flags.tlsCert),
    BITFLEET_TLS_KEY_FILE: absolute(flags.tlsKey),
    NATS_URL: flags.nats,
    BITFLEET_NATS_PORT: flags.natsPort,
    BITFLEET_JOIN: flags.join,
    BITFLEET_WORKER_ID: flags.id,
    BITFLEET_KEEP_STATE: flags.keepState,
    BITFLEET_GRACE_SECONDS: flags.grace,
  };
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  return { ...variables, ...Object.fromEntries(set) };
}

function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path);
}
