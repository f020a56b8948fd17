/** Classifies pictures: they go through the store to a worker, and are removed when it has answered. */
import { randomUUID } from "node:crypto";

import type { JobRecord } from "../src/control/record.js";
import { cut, utf8Bytes } from "../src/job/cutText.js";
import { pictureNameMax, pictureProblemMax, predictLimits, scoresMax } from "../src/job/limits.js";
import { ConfigError, FailureError, WireError } from "../src/job/problem.js";
import { weightsName } from "../src/job/storedNames.js";
import type { Store } from "../src/store/store.js";
import type { PredictPart, Prediction } from "../src/wire/training.js";
import type { RunTask } from "./data.js";

export type PredictLimits = typeof predictLimits;

const prefix = "predict/";

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
  const folder = `${prefix}${randomUUID()}`;
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
    const best = scoresPerPicture(classes, stored.length);
    const task = { kind: "predict", model, classes: classes.length, best, crop, threads } as const;
    const result = await options.runTask({ ...task, weights, pictures }, { signal });
    const rows = decodeScores(result, stored.length, { classes: classes.length, best });
    return rows.map((row, i) => {
      const picture = stored[i]?.picture ?? "";
      if (typeof row === "string") return { picture, scores: [], problem: told(row, stored) };
      const scores = row.map(([label, probability]) => ({
        ...{ className: classes[label] ?? "", probability },
      }));
      return { picture, scores };
    });
  } catch (error) {
    throw inClientsWords(error, stored);
  } finally {
    // What cannot be deleted now is when a coordinator starts; the answer is right all the same.
    for (const { name } of stored) await store.delete(name).catch(() => undefined);
  }
}

/** Deletes what calls left behind whose coordinator has died. Only for who holds the lock, and before it takes calls. */
export async function clearPredictions(store: Store): Promise<void> {
  for (const name of await store.list(prefix)) await store.delete(name);
}

/** What the reply may take, below gRPC's 4 MiB. */
const replyBytesMax = 4_000_000;
/** Of a picture's name, and of what goes with it and with the name of a class. */
const nameBytesMax = 3 * pictureNameMax + 16;
const scoreBytes = 20;

/** All classes where there are few; else the best, so many that the reply fits whatever the names. */
function scoresPerPicture(classes: readonly string[], pictures: number): number {
  const longest = classes.reduce((most, name) => Math.max(most, utf8Bytes(name)), 0);
  const room = Math.floor(replyBytesMax / pictures) - nameBytesMax;
  return Math.min(classes.length, scoresMax, Math.floor(room / (longest + scoreBytes)));
}

/** A refusal names a picture as it is called in the store; the client knows it by another name. */
function inClientsWords(error: unknown, stored: readonly StoredPicture[]): unknown {
  if (!(error instanceof ConfigError || error instanceof FailureError)) return error;
  const message = renamed(error.message, stored);
  if (message === error.message) return error;
  return error instanceof ConfigError
    ? new ConfigError(message, { cause: error })
    : new FailureError(message, { cause: error });
}

function renamed(message: string, stored: readonly StoredPicture[]): string {
  const named = stored.find(({ name }) => message.includes(name));
  return named === undefined ? message : message.replaceAll(named.name, () => named.picture);
}

/** A picture's problem, bounded for the client. */
function told(problem: string, stored: readonly StoredPicture[]): string {
  return cut(renamed(problem, stored), pictureProblemMax);
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
    // Every worker and whoever has the store sees the name: nothing of the client's is in it.
    const name = `${folder}/${String(stored.length).padStart(3, "0")}`;
    stored.push({ picture, name });
    await store.put(name, bytes);
  }
}

type Score = readonly [label: number, probability: number];

function decodeScores(
  json: string,
  pictures: number,
  { classes, best }: { readonly classes: number; readonly best: number },
): readonly (readonly Score[] | string)[] {
  const value: unknown = parse(json);
  if (!Array.isArray(value) || value.length !== pictures) throw refusal();
  return value.map((row: unknown) => {
    if (typeof row === "string" && row !== "") return row;
    if (!Array.isArray(row) || row.length !== best) throw refusal();
    const scores = row.map((score) => scoreOf(score, classes));
    if (new Set(scores.map(([label]) => label)).size !== best) throw refusal();
    return scores.toSorted(([, a], [, b]) => b - a);
  });
}

function scoreOf(value: unknown, classes: number): Score {
  if (!Array.isArray(value) || value.length !== 2) throw refusal();
  const [label, probability] = value as readonly unknown[];
  if (typeof label !== "number" || !Number.isInteger(label) || label < 0 || label >= classes)
    throw refusal();
  if (typeof probability !== "number" || !(probability >= 0 && probability <= 1)) throw refusal();
  return [label, probability];
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function refusal(): WireError {
  return new WireError("the worker's predictions are not the best classes of each picture");
}
