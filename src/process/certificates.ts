/** Certificates in files: read, looked at again for changes, and warned of before they expire. */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";

import { ConfigError, reasonOf } from "../job/problem.js";
import { fileVersions } from "./fileVersions.js";

/** PEM files. A server has a certificate and its key; a client may. Without a CA those of the system are trusted. */
export interface TlsFiles {
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly ca: string | undefined;
}

export interface TlsMaterial {
  readonly certificate: Buffer | undefined;
  readonly key: Buffer | undefined;
  readonly ca: Buffer | undefined;
}

const lookMs = 1000;
const dayMs = 24 * 3600 * 1000;
const warnedDays = 30;

/** ConfigError: a file cannot be read or is no PEM, or the key is another certificate's. */
export function readTls({ certificate, key, ca }: TlsFiles): TlsMaterial {
  const material = { certificate: read(certificate), key: read(key), ca: read(ca) };
  try {
    createSecureContext({ cert: material.certificate, key: material.key, ca: material.ca });
  } catch (error) {
    const files = [certificate, key, ca].filter((file) => file !== undefined).join(", ");
    throw new ConfigError(`${files} cannot be used for TLS: ${reasonOf(error)}`);
  }
  return material;
}

/** The content of the files now. A change that cannot be used is warned of, and what was there goes on. */
export class WatchedTls {
  readonly files: TlsFiles;
  readonly #warn: (sentence: string) => void;
  readonly #listeners = new Set<(material: TlsMaterial) => void>();
  readonly #timer: NodeJS.Timeout;
  #material: TlsMaterial;
  #seen: string;

  /** ConfigError as of `readTls`. */
  constructor(files: TlsFiles, warn: (sentence: string) => void) {
    this.files = files;
    this.#warn = warn;
    this.#seen = versionsOf(files);
    this.#material = readTls(files);
    this.#timer = setInterval(() => this.#look(), lookMs).unref();
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  onChange(listener: (material: TlsMaterial) => void): void {
    this.#listeners.add(listener);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const seen = versionsOf(this.files);
    if (seen === this.#seen) return;
    try {
      this.#material = readTls(this.files);
    } catch (error) {
      // A certificate is there before its key: the next look finds both.
      if (this.#seen !== "") this.#warn(`${reasonOf(error)}; the certificates read before stay`);
      this.#seen = "";
      return;
    }
    this.#seen = seen;
    for (const listener of this.#listeners) listener(this.#material);
  }
}

export interface Expiry {
  readonly use: "own" | "ca";
  readonly file: string;
  readonly subject: string;
  readonly validToMs: number;
}

/** Of each file's first certificate. */
export function expiries({ certificate, ca }: TlsFiles): readonly Expiry[] {
  const uses = [
    { use: "own", file: certificate },
    { use: "ca", file: ca },
  ] as const;
  return uses.flatMap(({ use, file }) =>
    file === undefined ? [] : [{ use, file, ...described(readFileSync(file)) }],
  );
}

/** A sentence for each file whose certificate has expired or does so within a month. */
export function expiryWarnings(files: TlsFiles, nowMs: number): readonly string[] {
  return expiries(files).flatMap(({ file, subject, validToMs }) => {
    const date = day(validToMs);
    if (validToMs <= nowMs) return [`the certificate of ${subject} in ${file} expired on ${date}`];
    if (validToMs - nowMs > warnedDays * dayMs) return [];
    const days = Math.floor((validToMs - nowMs) / dayMs);
    return [`the certificate of ${subject} in ${file} expires on ${date}, in ${days} days`];
  });
}

/** Warns now and every day. Returns how to stop. */
export function warnOfExpiry(files: TlsFiles, warn: (sentence: string) => void): () => void {
  const look = (): void => {
    try {
      for (const sentence of expiryWarnings(files, Date.now())) warn(sentence);
    } catch (error) {
      warn(`cannot look whether the certificates expire: ${reasonOf(error)}`);
    }
  };
  look();
  const timer = setInterval(look, dayMs).unref();
  return () => clearInterval(timer);
}

/** Whose certificate the first of a PEM file is, and until when. */
export function described(pem: Buffer): { readonly subject: string; readonly validToMs: number } {
  const { subject, validTo } = new X509Certificate(pem);
  return { subject: subject.replaceAll("\n", ", "), validToMs: Date.parse(validTo) };
}

export function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function read(file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ConfigError(`cannot read ${file}: ${reasonOf(error)}`);
  }
}

function versionsOf({ certificate, key, ca }: TlsFiles): string {
  return fileVersions([certificate, key, ca]);
}
