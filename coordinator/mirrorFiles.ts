/**
 * The files of the records' second copy: `records/7f/JOB.ORDER.open.json`, or `ended` for a job that has. Their names tell which
 * of them may know more than NATS does, so that a start lists them once and reads only those: a job that has ended is read again
 * only after it was resumed, and then it has a higher order. Each of 256 folders has its share of the jobs, since every write
 * lists the one of its job.
 */
import { createHash } from "node:crypto";

import { hasEnded, type JobRecord } from "../src/control/record.js";
import { mapBounded } from "../src/data/bounded.js";
import { believedMax, countMax } from "../src/job/limits.js";
import { readWhole } from "../src/store/readWhole.js";
import type { Store } from "../src/store/store.js";
import type { Codec } from "../src/wire/codec.js";

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

interface Named {
  readonly name: string;
  readonly job: string;
  readonly order: number;
  readonly isEnded: boolean;
}

const format = "bitfleet-record-1";
const folder = "records/";
const fileBytesMax = 2_000_000;
const readsAtOnce = 32;

/** What one listing tells of the copies. */
export class Copies {
  readonly #store: Store;
  readonly #codec: Codec<JobRecord>;
  /** The newest of a job first. */
  readonly #files: ReadonlyMap<string, readonly Named[]>;

  /** Of all jobs, or of one. */
  static async list(store: Store, codec: Codec<JobRecord>, job = ""): Promise<Copies> {
    const files = new Map<string, Named[]>();
    for (const name of await store.list(job === "" ? folder : `${folderOf(job)}${job}.`)) {
      const [, of = "", order = "", state = ""] = pattern.exec(name) ?? [];
      if (of === "") continue;
      const named = { name, job: of, order: Number(order), isEnded: state === "ended" };
      const others = files.get(of) ?? [];
      files.set(of, [...others, named].toSorted(newestFirst));
    }
    return new Copies(store, codec, files);
  }

  private constructor(
    store: Store,
    codec: Codec<JobRecord>,
    files: ReadonlyMap<string, readonly Named[]>,
  ) {
    this.#store = store;
    this.#codec = codec;
    this.#files = files;
  }

  jobs(): readonly string[] {
    return [...this.#files.keys()];
  }

  names(job: string): readonly string[] {
    return (this.#files.get(job) ?? []).map(({ name }) => name);
  }

  /** Whether the job's copy may hold more than this record, which is what NATS has. */
  mayBeAhead(job: string, record: JobRecord | undefined): boolean {
    const [newest] = this.#files.get(job) ?? [];
    if (newest === undefined) return false;
    return record === undefined || !hasEnded(record.state) || newest.order > record.order;
  }

  /** Whether the copy is known to be of this record, of a job that has ended, without a look at it. */
  isOf(record: JobRecord): boolean {
    const files = this.#files.get(record.name) ?? [];
    return hasEnded(record.state) && files.length === 1 && files[0]?.name === fileOf(record);
  }

  /** The newest copy of each of these jobs that can be used. */
  async read(jobs: readonly string[]): Promise<FoundInMirror> {
    const found: Mirrored[] = [];
    const damaged: string[] = [];
    await mapBounded(jobs, readsAtOnce, async (job) => {
      for (const { name } of this.#files.get(job) ?? []) {
        const mirrored = await readMirrored(this.#store, name, this.#codec);
        if (typeof mirrored !== "string") {
          found.push(mirrored);
          return;
        }
        damaged.push(`${name}: ${mirrored}`);
      }
    });
    return { found, damaged };
  }
}

export function fileOf({ name, order, state }: JobRecord): string {
  return `${folderOf(name)}${name}.${order}.${hasEnded(state) ? "ended" : "open"}.json`;
}

function folderOf(job: string): string {
  return `${folder}${createHash("sha256").update(job).digest("hex").slice(0, 2)}/`;
}

const pattern = /^records\/[0-9a-f]{2}\/([^./]+)\.(\d{1,10})\.(open|ended)\.json$/;

function newestFirst(a: Named, b: Named): number {
  return b.order - a.order || Number(b.isEnded) - Number(a.isEnded);
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
    if (!right.equals(bytes) || fileOf(mirrored.record) !== name) return "it is damaged";
    return mirrored;
  } catch (error) {
    return error instanceof Error ? error.message : "it is damaged";
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && 0 <= value && value <= countMax;
}

export function encodeMirrored(mirrored: Mirrored, codec: Codec<JobRecord>): Uint8Array {
  return spelled(new TextDecoder().decode(codec.encode(mirrored.record)), mirrored);
}

/** One spelling for one record, with a digest of itself. */
function spelled(record: string, { term, lines }: Omit<Mirrored, "record">): Buffer {
  const body = { format, term, lines, record };
  const self = createHash("sha256").update(JSON.stringify(body)).digest("hex");
  return Buffer.from(`${JSON.stringify({ ...body, self }, undefined, 1)}\n`);
}
