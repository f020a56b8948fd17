import { ConfigError } from "../job/problem.js";
import type { TlsFiles } from "./certificates.js";
import { textOf } from "./readSetting.js";
import type { Variables } from "./variables.js";

/** Of a client and a server alike. ConfigError: a certificate without its key, or the reverse. */
export function tlsFiles(variables: Variables, prefix = "BITFLEET_TLS_"): TlsFiles | undefined {
  const [certificate, key, ca] = ["CERT", "KEY", "CA"].map((part) =>
    textOf(variables, `${prefix}${part}_FILE`),
  );
  if ((certificate === undefined) !== (key === undefined))
    throw new ConfigError(
      `${prefix}CERT_FILE and ${prefix}KEY_FILE must be set together, and one is not`,
    );
  return certificate === undefined && ca === undefined ? undefined : { certificate, key, ca };
}
