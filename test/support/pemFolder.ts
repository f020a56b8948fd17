import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Pem } from "../../src/cli/authority.js";
import type { TlsFiles } from "../../src/process/certificates.js";

export const dayMs = 24 * 3600 * 1000;

export function inDays(days: number): Date {
  return new Date(Date.now() + days * dayMs);
}

/** A temporary folder of certificates: NAME.pem with NAME.key. */
export class PemFolder {
  readonly folder = mkdtempSync(join(tmpdir(), "bitfleet-tls-"));

  /** In place of what is there, at once. */
  put(name: string, { certificate, key }: Pem): void {
    for (const [ending, text] of [
      ["key", key],
      ["pem", certificate],
    ] as const) {
      const file = join(this.folder, `${name}.${ending}`);
      writeFileSync(`${file}.new`, text, { mode: 0o600 });
      renameSync(`${file}.new`, file);
    }
  }

  files(name: string | undefined, ca = "ca"): TlsFiles {
    const own = (ending: string): string | undefined =>
      name === undefined ? undefined : join(this.folder, `${name}.${ending}`);
    return { certificate: own("pem"), key: own("key"), ca: join(this.folder, `${ca}.pem`) };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
