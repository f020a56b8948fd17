/**
 * The tokens that a coordinator knows: the fleet's own one, which is an admin's, and those of the tokens file. Both files are read
 * again when they change, so that a token is revoked without a restart.
 */
import { timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

import { ConfigError, reasonOf } from "../job/problem.js";
import { whyNotWorker, type Caller, type Callers } from "../job/roles.js";
import { readTokenFile } from "./environment.js";
import { fileVersions } from "./fileVersions.js";
import { parseTokens, tokenDigest, type TokenEntry } from "./tokensFile.js";

export interface TokenFiles {
  readonly tokenFile: string | undefined;
  readonly tokensFile: string | undefined;
  /** What is wrong with a file that was accepted, or with one that was not and whose former content goes on. */
  readonly warn: (sentence: string) => void;
}

const lookMs = 500;

export class TokenBook implements Callers {
  readonly #files: TokenFiles;
  readonly #listeners = new Set<() => void>();
  readonly #looking: NodeJS.Timeout;
  #entries: readonly TokenEntry[];
  #seen: string;

  /** ConfigError: a file cannot be read, or holds something else. */
  static open(files: TokenFiles): TokenBook {
    return new TokenBook(files, versionsOf(files), readEntries(files));
  }

  private constructor(files: TokenFiles, seen: string, entries: readonly TokenEntry[]) {
    this.#files = files;
    this.#seen = seen;
    this.#entries = entries;
    this.#looking = setInterval(() => this.#look(), lookMs).unref();
  }

  /** Compares hashes, and with all of them, so that the time taken tells nothing about any token. */
  find(token: string): Caller | undefined {
    const given = tokenDigest(token);
    let found: Caller | undefined;
    for (const { digest, ...caller } of this.#entries)
      if (timingSafeEqual(given, digest)) found = caller;
    return found;
  }

  whyNotWorker(name: string, workerId: string): string | undefined {
    return whyNotWorker(this.#entries, name, workerId);
  }

  /** Of all entries. */
  get names(): ReadonlySet<string> {
    return new Set(this.#entries.map(({ name }) => name));
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    clearInterval(this.#looking);
  }

  #look(): void {
    const seen = versionsOf(this.#files);
    if (seen === this.#seen) return;
    this.#seen = seen;
    try {
      this.#entries = readEntries(this.#files);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#files.warn(`${error.message}; the tokens known before stay`);
      return;
    }
    for (const listener of this.#listeners) listener();
  }
}

/** One token that may do everything. */
export function oneToken(token: string): Callers {
  const digest = tokenDigest(token);
  return {
    find: (given) =>
      timingSafeEqual(tokenDigest(given), digest) ? { name: "fleet", role: "admin" } : undefined,
    whyNotWorker: () => undefined,
    onChange: () => () => undefined,
  };
}

function readEntries({ tokenFile, tokensFile, warn }: TokenFiles): readonly TokenEntry[] {
  const entries: TokenEntry[] = [];
  if (tokensFile !== undefined) entries.push(...parseTokens(read(tokensFile), tokensFile));
  if (tokenFile !== undefined) {
    const { token, warning } = readTokenFile(tokenFile);
    if (warning !== undefined) warn(warning);
    entries.push({ name: "fleet", role: "admin", digest: tokenDigest(token) });
  }
  return entries;
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const reason = reasonOf(error);
    throw new ConfigError(`BITFLEET_TOKENS_FILE: cannot read ${file}: ${reason}`);
  }
}

function versionsOf({ tokenFile, tokensFile }: TokenFiles): string {
  return fileVersions([tokenFile, tokensFile]);
}
