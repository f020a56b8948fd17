/** When the certificates of a process expire, for Prometheus: read off the files at every scrape. */
import { Gauge, type Registry } from "prom-client";

import { expiries, type TlsFiles } from "./certificates.js";

export function showExpiry(registry: Registry, files: TlsFiles | undefined): void {
  new Gauge({
    name: "bitfleet_certificate_expiry_timestamp_seconds",
    help: "When the certificate of this process, or of the CA that it trusts, expires.",
    labelNames: ["use"],
    registers: [registry],
    collect() {
      this.reset();
      for (const { use, validToMs } of expiriesOf(files)) this.set({ use }, validToMs / 1000);
    },
  });
}

/** None while the files are being replaced. */
function expiriesOf(files: TlsFiles | undefined): ReturnType<typeof expiries> {
  try {
    return files === undefined ? [] : expiries(files);
  } catch {
    return [];
  }
}
