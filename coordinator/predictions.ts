/** Classifies pictures: they go through the store to a worker, and are removed when it has answered. */
import { randomUUID } from "node:crypto";

import type { JobRecord } from "../src/control/record.js";
import { ConfigError, FailureError, WireError } from "../src/job/problem.js";
import { weightsName } from "../src/job/storedNames.js";
import type { Store } from "../src/store/store.js";
import type { PredictPart, Prediction } from "../src/wire/training.js";
import type { RunTask } from "./data.js";

export interface PredictLimits {
  readonly pictures: number;
  readonly pictureBytes: number;
  readonly totalBytes: number;
}

export const predictLimits: PredictLimits = {
  pictures: 256,
  pictureBytes: 32 << 20,
  totalBytes: 256 << 20,
};

export interface PredictOptions {
  readonly store: Store;
  readonly runTask: RunTask;
  /** The job of that name; throws where there is none. */
  readonly record: (job: string) => JobRecord;
  readonly signal: AbortSignal;
  readonly limits?: PredictLimits;
}

interface StoredPicture {
  /** As the client calls it. */
  readonly picture: string;
  readonly name: string;
}

/** ConfigError: no pictures, too many or too large ones, or one that is no picture. FailureError: no weights yet, no worker. */
export async function predict(
  parts: AsyncIterable<PredictPart>,
  options: PredictOptions,
): Promise<readonly Prediction[]> {
  const { store, signal } = options;
  const iterator = parts[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw new ConfigError("predict names no job");
  const record = options.record(first.value.job);
  const weights = trainedWeights(record);
  const folder = `predict/${randomUUID()}`;
  const stored: StoredPicture[] = [];
  try {
    await storePictures(
      first.value,
      iterator,
      { store, folder, stored },
      options.limits ?? predictLimits,
    );
    if (stored.length === 0) throw new ConfigError("predict was given no pictures");
    const { model, crop, threads } = record.plan.settings;
    const classes = record.plan.classes;
    const pictures = stored.map(({ name }) => name);
    const task = { kind: "predict", model, classes: classes.length, crop, threads } as const;
    const result = await options.runTask({ ...task, weights, pictures }, { signal });
    const rows = decodeScores(result, stored.length, classes.length);
    return rows.map((row, i) => ({
      picture: stored[i]?.picture ?? "",
      scores: ranked(row, classes),
    }));
  } finally {
    for (const { name } of stored) await store.delete(name);
  }
}

export function trainedWeights({ name, state, weights }: JobRecord): string {
  if (weights !== undefined) return weightsName(name);
  throw new FailureError(
    `job ${name} has no weights: it is ${state}, and weights are saved when a job is done`,
  );
}

interface Destination {
  readonly store: Store;
  readonly folder: string;
  readonly stored: StoredPicture[];
}

async function storePictures(
  first: PredictPart,
  rest: AsyncIterator<PredictPart>,
  { store, folder, stored }: Destination,
  limits: PredictLimits,
): Promise<void> {
  let part: PredictPart | undefined = first;
  let totalBytes = 0;
  const next = async (): Promise<PredictPart | undefined> => {
    const result = await rest.next();
    return result.done === true ? undefined : result.value;
  };
  if (part.picture === "") part = await next();
  while (part !== undefined) {
    const { picture } = part;
    if (picture === "") throw new ConfigError("bytes of a picture came before its name");
    if (stored.length >= limits.pictures)
      throw new ConfigError(`more than ${limits.pictures} pictures in one request`);
    const bytes: Uint8Array[] = [];
    let length = 0;
    do {
      length += part.data.length;
      totalBytes += part.data.length;
      if (length > limits.pictureBytes)
        throw new ConfigError(`picture ${picture} is larger than ${limits.pictureBytes} bytes`);
      if (totalBytes > limits.totalBytes)
        throw new ConfigError(`the pictures are larger than ${limits.totalBytes} bytes together`);
      bytes.push(part.data);
      part = await next();
    } while (part !== undefined && part.picture === "");
    // Readable, since a refusal by the worker names it.
    const readable = picture.replaceAll(/[^A-Za-z0-9._-]/g, "_").slice(-80);
    const name = `${folder}/${stored.length}-${readable}`;
    stored.push({ picture, name });
    await store.put(name, bytes);
  }
}

function ranked(row: readonly number[], classes: readonly string[]): Prediction["scores"] {
  return row
    .map((probability, label) => ({ className: classes[label] ?? "", probability }))
    .toSorted((a, b) => b.probability - a.probability);
}

function decodeScores(json: string, pictures: number, classes: number): readonly number[][] {
  const value: unknown = parse(json);
  if (!Array.isArray(value) || value.length !== pictures) throw refusal();
  return value.map((row: unknown) => {
    if (!Array.isArray(row) || row.length !== classes) throw refusal();
    return row.map((score: unknown) => {
      if (typeof score !== "number" || !(score >= 0 && score <= 1)) throw refusal();
      return score;
    });
  });
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function refusal(): WireError {
  return new WireError("the worker's predictions are not a list of probabilities per picture");
}
