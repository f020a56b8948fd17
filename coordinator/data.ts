/** What a worker found in a job's data. Reading it takes a while, so Submit takes over what Preview has just read. */
import { countMax, examplesMax } from "../src/job/limits.js";
import { ConfigError, WireError } from "../src/job/problem.js";
import { isLeftOut } from "../src/job/leftOut.js";
import type { DataSummary } from "../src/job/decisions.js";
import type { JobRequest } from "../src/job/settings.js";
import type { Store } from "../src/store/store.js";
import type { Task } from "../src/control/message.js";
import type { TaskOptions } from "./tasks.js";

export type RunTask = (task: Task, options: TaskOptions) => Promise<string>;

/** Pictures added since would be missed, so what was read is used for a while only. */
const cachedMs = 10 * 60_000;
const cachedMax = 100;

export class DataReader {
  readonly #runTask: RunTask;
  readonly #store: Store;
  readonly #cached = new Map<string, { readonly summary: DataSummary; readonly atMs: number }>();

  #reading = 0;

  constructor(runTask: RunTask, store: Store) {
    this.#runTask = runTask;
    this.#store = store;
  }

  /** Has a worker read the data, and keeps the index in the store. ConfigError: the data cannot be used. */
  async read(request: JobRequest, options: TaskOptions): Promise<DataSummary> {
    this.#reading += 1;
    try {
      return await this.#read(request, options);
    } finally {
      this.#reading -= 1;
    }
  }

  async #read(request: JobRequest, options: TaskOptions): Promise<DataSummary> {
    const summary = decodeSummary(
      await this.#runTask({ kind: "index", settings: request }, options),
    );
    if (!(await this.#isStored(summary.digest)))
      throw new ConfigError(
        "the coordinator does not find the index that the worker has just stored: " +
          "both need the same store folder (BITFLEET_STORE)",
      );
    const key = keyOf(request);
    this.#cached.delete(key);
    this.#cached.set(key, { summary, atMs: performance.now() });
    const oldest = this.#cached.keys().next();
    if (this.#cached.size > cachedMax && oldest.done !== true) this.#cached.delete(oldest.value);
    return summary;
  }

  /** As `read`, or what was read of the same data within the last minutes. */
  async recall(request: JobRequest, options: TaskOptions): Promise<DataSummary> {
    const cached = this.#cached.get(keyOf(request));
    const usable =
      cached !== undefined &&
      performance.now() - cached.atMs < cachedMs &&
      (await this.#isStored(cached.summary.digest));
    return usable ? cached.summary : this.read(request, options);
  }

  /** Whether a job that is not there yet may come to use that index. */
  mayUse(digest: string): boolean {
    if (this.#reading > 0) return true;
    return [...this.#cached.values()].some(({ summary }) => summary.digest === digest);
  }

  /** What was read of this place is not so any more. */
  forget(place: string): void {
    for (const key of this.#cached.keys()) {
      if (key.includes(JSON.stringify(place))) this.#cached.delete(key);
    }
  }

  async #isStored(digest: string): Promise<boolean> {
    return (await this.#store.stat(`indexes/${digest}.json`)) !== undefined;
  }
}

/** Every setting that the index, or a worker's check of the weights, depends on. */
function keyOf(request: JobRequest): string {
  const { data, validation, validationFraction, examplesPerClass, seed } = request;
  const { weights, model, steps } = request;
  return JSON.stringify([
    data,
    validation,
    validationFraction,
    examplesPerClass,
    seed,
    weights,
    model,
    steps === 0,
  ]);
}

/** WireError: not what a worker answers to an index task. */
export function decodeSummary(json: string): DataSummary {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new WireError("the summary of the data is not JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null) throw refusal("it is no object");
  const fields = new Map<string, unknown>(Object.entries(value));
  const classes = fields.get("classes");
  if (!isListOf(classes, isText) || classes.length > examplesMax) throw refusal("its classes");
  const counts = (name: string): readonly number[] => {
    const list = fields.get(name);
    if (!isListOf(list, isCount) || list.length !== classes.length) throw refusal(`its ${name}`);
    if (list.reduce((sum, one) => sum + one, 0) > examplesMax) throw refusal(`its ${name}`);
    return list;
  };
  const side = (name: string): number => {
    const number = fields.get(name);
    if (!isCount(number) || number < 1 || number > countMax) throw refusal(`its ${name}`);
    return number;
  };
  const leftOut = fields.get("leftOut");
  if (!isLeftOut(leftOut)) throw refusal("its files that were left out");
  const digest = fields.get("digest");
  if (!isText(digest) || !/^[0-9a-f]{64}$/.test(digest)) throw refusal("its digest");
  return {
    classes,
    trainingCounts: counts("trainingCounts"),
    validationCounts: counts("validationCounts"),
    medianWidth: side("medianWidth"),
    medianHeight: side("medianHeight"),
    leftOut,
    digest,
  };
}

function refusal(why: string): WireError {
  return new WireError(`the summary of the data cannot be used: ${why}`);
}

function isListOf<T>(value: unknown, isEntry: (entry: unknown) => entry is T): value is T[] {
  return Array.isArray(value) && value.every(isEntry);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
