/**
 * A second copy of every job's record, in the store: enough to go on when NATS has lost its storage while no coordinator lived
 * that knew it. It is written behind the first copy and after it, so it may be a little older; what the workers hold says the
 * rest. Nothing waits for it: while the store takes nothing, the newest of each job waits to be tried again.
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import type { JobRecord } from "../src/control/record.js";
import { believedMax, countMax } from "../src/job/limits.js";
import { reasonOf, WireError } from "../src/job/problem.js";
import { readWhole } from "../src/store/readWhole.js";
import type { Store } from "../src/store/store.js";
import type { Codec } from "../src/wire/codec.js";
import { Waiters } from "./waiters.js";

export interface MirrorOptions {
  readonly store: Store;
  readonly codec: Codec<JobRecord>;
  readonly signal: AbortSignal;
  /** Told why nothing can be written, once, and `undefined` when it can again. */
  readonly onTrouble: (problem: string | undefined) => void;
}

export interface Mirrored {
  readonly record: JobRecord;
  /** Of the coordinator that wrote it. */
  readonly term: number;
  /** Numbers of log lines up to here may be in use. */
  readonly lines: number;
}

export interface FoundInMirror {
  readonly found: readonly Mirrored[];
  /** Files that cannot be used, with the reason. */
  readonly damaged: readonly string[];
}

const format = "bitfleet-record-1";
const fileBytesMax = 2_000_000;
const retryMs = 5000;
/** Numbers of log lines are set aside by the thousand, so that not every line is noted here; at least half of them ahead. */
const linesAside = 1000;

export class Mirror {
  readonly #options: MirrorOptions;
  readonly #term: () => number;
  readonly #newest = new Map<string, JobRecord>();
  /** By job: the last number of its log, and up to where numbers are set aside in the store. */
  readonly #lines = new Map<string, { readonly last: number; readonly aside: number }>();
  readonly #waiting = new Set<string>();
  readonly #idle = new Waiters();
  #writing = false;
  #problem = "";

  constructor(options: MirrorOptions, term: () => number, found: readonly Mirrored[]) {
    this.#options = options;
    this.#term = term;
    for (const { record, lines } of found) {
      this.#newest.set(record.name, record);
      this.#lines.set(record.name, { last: 0, aside: lines });
    }
  }

  /** Begins to write the record, if it is not the one that is there. */
  keep(record: JobRecord): void {
    const before = this.#newest.get(record.name);
    const [bytes, bytesBefore] = [this.#encoded(record), before && this.#encoded(before)];
    // One that cannot be kept is told of where it is kept first.
    if (bytes === undefined) return;
    this.#newest.set(record.name, record);
    if (bytesBefore === undefined || !Buffer.from(bytesBefore).equals(bytes))
      this.#enqueue(record.name);
  }

  #encoded(record: JobRecord): Uint8Array | undefined {
    try {
      return this.#options.codec.encode(record);
    } catch (error) {
      if (error instanceof WireError) return undefined;
      throw error;
    }
  }

  /** A line of the job's log has this number. */
  noteLine(job: string, sequence: number): void {
    const { aside } = this.#lines.get(job) ?? { aside: 0 };
    this.#lines.set(job, { last: sequence, aside });
    if (sequence > aside - linesAside / 2 && this.#newest.has(job)) this.#enqueue(job);
  }

  /** Numbers of the job's log lines up to here may be in use. */
  linesOf(job: string): number {
    return this.#lines.get(job)?.aside ?? 0;
  }

  /** Resolves when nothing waits to be written, or the deadline has passed. */
  async flush(deadlineMs: number): Promise<void> {
    if (!this.#writing) return;
    await this.#idle.wait(deadlineMs);
  }

  #enqueue(job: string): void {
    this.#waiting.add(job);
    if (this.#writing) return;
    this.#writing = true;
    void this.#drain();
  }

  async #drain(): Promise<void> {
    const { signal } = this.#options;
    for (let job = first(this.#waiting); job !== undefined; job = first(this.#waiting)) {
      this.#waiting.delete(job);
      if (await this.#write(job)) continue;
      this.#waiting.add(job);
      await sleep(retryMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
    }
    this.#writing = false;
    this.#idle.wake();
  }

  async #write(job: string): Promise<boolean> {
    const { store, codec } = this.#options;
    const record = this.#newest.get(job);
    if (record === undefined) return true;
    const { last } = this.#lines.get(job) ?? { last: 0 };
    const needed = Math.ceil((last + linesAside / 2) / linesAside) * linesAside;
    const aside = Math.max(needed, this.linesOf(job));
    const term = this.#term();
    try {
      // A coordinator that was replaced and does not know it yet leaves its successor's alone.
      const there = await readMirrored(store, fileOf(job), codec);
      if (typeof there !== "string" && there.term > term) return true;
      await store.put(fileOf(job), [encode({ record, term, lines: aside }, codec)]);
    } catch (error) {
      this.#tell(reasonOf(error));
      return false;
    }
    this.#tell("");
    this.#lines.set(job, { last: this.#lines.get(job)?.last ?? 0, aside });
    return true;
  }

  #tell(problem: string): void {
    // One trouble, one line: with another job it reads differently and is the same.
    if ((problem === "") === (this.#problem === "")) return;
    this.#problem = problem;
    this.#options.onTrouble(problem === "" ? undefined : problem);
  }
}

/** What the store holds of every job. */
export async function readMirror(store: Store, codec: Codec<JobRecord>): Promise<FoundInMirror> {
  const found: Mirrored[] = [];
  const damaged: string[] = [];
  for (const name of await store.list("jobs/")) {
    if (!/^jobs\/[^/]+\/record\.json$/.test(name)) continue;
    const mirrored = await readMirrored(store, name, codec);
    if (typeof mirrored === "string") damaged.push(`${name}: ${mirrored}`);
    else found.push(mirrored);
  }
  return { found, damaged };
}

/** The copy, or why there is none. */
async function readMirrored(
  store: Store,
  name: string,
  codec: Codec<JobRecord>,
): Promise<Mirrored | string> {
  const found = await store.stat(name);
  if (found === undefined) return "it is not there";
  if (found.bytes > fileBytesMax) return `it has ${found.bytes} bytes`;
  try {
    const bytes = await readWhole(store, name);
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    const fields = new Map<string, unknown>(Object.entries(value ?? {}));
    const [text, term, lines] = [fields.get("record"), fields.get("term"), fields.get("lines")];
    if (typeof text !== "string" || !isCount(term) || !isCount(lines)) return "it is damaged";
    const mirrored = { record: codec.decode(Buffer.from(text)), term, lines };
    const { attempt, generation } = mirrored.record;
    // Others may write into the store, and what is taken from it goes on from these numbers.
    if (Math.max(attempt, generation, lines) > believedMax)
      return `its attempt ${attempt}, generation ${generation} or lines ${lines} are more than ${believedMax}`;
    // Whatever was added, misspelt or flipped: the right spelling of what was read differs.
    const right = spelled(text, mirrored);
    if (!right.equals(bytes) || fileOf(mirrored.record.name) !== name) return "it is damaged";
    return mirrored;
  } catch (error) {
    return error instanceof Error ? error.message : "it is damaged";
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && 0 <= value && value <= countMax;
}

function encode(mirrored: Mirrored, codec: Codec<JobRecord>): Uint8Array {
  return spelled(new TextDecoder().decode(codec.encode(mirrored.record)), mirrored);
}

/** One spelling for one record, with a digest of itself. */
function spelled(record: string, { term, lines }: Omit<Mirrored, "record">): Buffer {
  const body = { format, term, lines, record };
  const self = createHash("sha256").update(JSON.stringify(body)).digest("hex");
  return Buffer.from(`${JSON.stringify({ ...body, self }, undefined, 1)}\n`);
}

function fileOf(job: string): string {
  return `jobs/${job}/record.json`;
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  for (const entry of set) return entry;
  return undefined;
}
