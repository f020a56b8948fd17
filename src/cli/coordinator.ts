/** `bitfleet coordinator`: one coordinator, in the foreground. */
import type { Command } from "commander";
import type { Context } from "./context.js";
import { partEnvironment, type PartFlags } from "./partFlags.js";
import { runPart } from "./runPart.js";

export function addCoordinator(program: Command, context: Context): void {
  program
    .command("coordinator")
    .description("start a coordinator in the foreground; flags win over the variables named")
    .option("--host <HOST>", "where to listen; off loopback a token is needed (BITFLEET_HOST)")
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
    .option("--tokens-file <FILE>", "hashed tokens with their roles (BITFLEET_TOKENS_FILE)")
    .option("--tls-ca <FILE>", "CA that is trusted (BITFLEET_TLS_CA_FILE)")
    .option("--tls-cert <FILE>", "own certificate (BITFLEET_TLS_CERT_FILE)")
    .option("--tls-key <FILE>", "its key (BITFLEET_TLS_KEY_FILE)")
    .option("--nats <URL>", "a NATS server with JetStream; else one is started here (NATS_URL)")
    .action((flags: PartFlags) =>
      runPart("coordinator", partEnvironment(context.variables, flags), context),
    );
}
