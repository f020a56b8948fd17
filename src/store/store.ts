import { quote } from "../job/cutText.js";
import { ConfigError, FailureError } from "../job/problem.js";

/** What a finished `put` has stored. */
export interface Stored {
  /** In hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
}

/** The store did not do what was asked of it: its disk is full, gone, or not for us to write. */
export class StoreError extends FailureError {
  /** What is wrong, whatever was asked. */
  readonly reason: string;

  constructor(what: string, reason: string, cause: unknown) {
    super(`${what}: ${reason}`, { cause });
    this.reason = reason;
  }
}

export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Files by name, shared by coordinator and workers: checkpoints, exports, indexes, pushed data. A name is made of
 * parts separated by `/`; a part has letters, digits, `.`, `_` and `-`, and no dot at its start.
 * Every method throws ConfigError for another name, and FailureError when the store fails.
 */
export interface Store {
  /** All or nothing: whoever reads `name` gets what was there before, or all of the new chunks. */
  put(name: string, chunks: Chunks): Promise<Stored>;
  /**
   * As `put`, but leaves alone what is there already, also when two come at the same moment: one of them
   * stores, the other gets undefined.
   */
  putNew(name: string, chunks: Chunks): Promise<Stored | undefined>;
  /** The bytes in order; throws FailureError at the first of them when there is no such name. */
  get(name: string): AsyncIterable<Uint8Array>;
  stat(name: string): Promise<{ readonly bytes: number } | undefined>;
  /** All names that start with `prefix`, sorted by code unit. */
  list(prefix: string): Promise<string[]>;
  /** Does nothing when there is no such name. */
  delete(name: string): Promise<void>;
}

/** A store that can be tried before it is relied on. */
export interface ProvableStore extends Store {
  /**
   * Does once what a store has to do, at the start of a process. StoreError names the store, what it cannot do and what to
   * do about it. Returns sentences for the log on what it lacks and does otherwise.
   */
  prove(): Promise<readonly string[]>;
}

/** Where a store may have very many files: those of pushed data, named by their SHA-256. */
export const blobsPrefix = "data/blobs/";

const namePart = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;
const partsMax = 8;

/** Throws ConfigError unless `name` is one that every store takes. */
export function checkName(name: string): void {
  const parts = name.split("/");
  if (parts.length <= partsMax && parts.every((part) => namePart.test(part))) return;
  throw new ConfigError(
    `${quote(name, 200)} is no name for the store: up to ${partsMax} parts of ` +
      "letters, digits, dots, _ and -, separated by /, none with a dot in front",
  );
}

/** Throws ConfigError where a prefix to list by leads to names that no store takes. */
export function checkPrefix(prefix: string): void {
  const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
  if (folder !== "") checkName(folder.slice(0, -1));
}
