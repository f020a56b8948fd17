/**
 * The tokens that a coordinator knows: the fleet's own one, which is an admin's, and those of the tokens file. Both files are read
 * again when they change, so that a token is revoked without a restart.
 */
import { timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";

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

type Known = ReadonlyMap<string, readonly TokenEntry[]>;

const lookMs = 500;
/** A file that was not there at so many looks is no more, and was not just being replaced. */
const goneLooks = 10;
/** What is wrong with a file is said again after so many looks, as long as it is. */
const againLooks = 120;

export class TokenBook implements Callers {
  readonly #files: TokenFiles;
  readonly #listeners = new Set<() => void>();
  readonly #looking: NodeJS.Timeout;
  /** By file. */
  #known: Known;
  #seen: string;
  /** Looks since the files could not be read any more; undefined: they could. */
  #spoiltLooks: number | undefined;

  /** ConfigError: a file cannot be read, or holds something else. */
  static open(files: TokenFiles): TokenBook {
    return new TokenBook(files, versionsOf(files), readEntries(files));
  }

  private constructor(files: TokenFiles, seen: string, known: Known) {
    this.#files = files;
    this.#seen = seen;
    this.#known = known;
    this.#looking = setInterval(() => this.#look(), lookMs).unref();
  }

  get #entries(): readonly TokenEntry[] {
    return [...this.#known.values()].flat();
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
    const looks = this.#spoiltLooks;
    if (seen === this.#seen && looks === undefined) return;
    const isNew = seen !== this.#seen;
    this.#seen = seen;
    try {
      this.#known = readEntries(this.#files);
      this.#spoiltLooks = undefined;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.#spoilt(error.message, isNew || looks === undefined ? 0 : looks + 1);
      return;
    }
    for (const listener of this.#listeners) listener();
  }

  /** What a file had stays known where it cannot be read, and not where it was deleted. */
  #spoilt(problem: string, looks: number): void {
    this.#spoiltLooks = looks;
    const { tokenFile, tokensFile, warn } = this.#files;
    const gone = [tokenFile, tokensFile].filter((file) => file !== undefined && !existsSync(file));
    const isOver = gone.length > 0 && looks >= goneLooks;
    if (isOver && looks === goneLooks) {
      this.#known = new Map([...this.#known].filter(([file]) => !gone.includes(file)));
      for (const listener of this.#listeners) listener();
    }
    if (looks % againLooks !== 0 && looks !== goneLooks) return;
    if (isOver) warn(`${gone.join(" and ")} is gone: nobody is known by its tokens any more`);
    else if (looks === 0 || looks % againLooks === 0)
      warn(`${problem}; the tokens known before stay`);
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

function readEntries({ tokenFile, tokensFile, warn }: TokenFiles): Known {
  const known = new Map<string, readonly TokenEntry[]>();
  if (tokensFile !== undefined) known.set(tokensFile, parseTokens(read(tokensFile), tokensFile));
  if (tokenFile !== undefined) {
    const { token, warning } = readTokenFile(tokenFile);
    if (warning !== undefined) warn(warning);
    known.set(tokenFile, [{ name: "fleet", role: "admin", digest: tokenDigest(token) }]);
  }
  return known;
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
