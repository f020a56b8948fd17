/** A folder of labelled pictures on its way into the store: what is there already is not sent. */
import { resolve } from "node:path";
import { badPictures } from "../data/badPictures.js";
import { hashOf } from "../data/blobs.js";
import { concurrencyDefault, fileMemory, mapBounded } from "../data/bounded.js";
import { encodePages, pagesMax, picturesMax, refusalOfFile } from "../data/dataPages.js";
import { listFolder } from "../data/folder.js";
import { readPictureFile, sizeOf } from "../data/folderSource.js";
import { pixelsMaxDefault } from "../data/pictureBounds.js";
import { total, type LeftOut } from "../job/leftOut.js";
import { ConfigError, FailureError } from "../job/problem.js";
import type { BlobPart, DataCommit, DataCommitted, DataSetStatus } from "../wire/training.js";
import { hashesMax } from "../wire/dataCodecs.js";

export interface PushProgress {
  /** Pictures are read to know their hashes; then the coordinator is asked what it lacks; then that is sent. */
  readonly stage: "reading" | "asking" | "sending";
  readonly files: number;
  readonly filesTotal: number;
  readonly bytes: number;
  readonly bytesTotal: number;
}

export interface Pushed {
  readonly set: DataSetStatus;
  /** What had to be sent, in files and bytes; the pages of the list are among them. */
  readonly sentFiles: number;
  readonly sentBytes: number;
  /** Files of the folder that were not sent, by what they are. */
  readonly leftOut: readonly LeftOut[];
}

export interface PushOptions {
  readonly folder: string;
  readonly name: string;
  /** The most that a picture may have. */
  readonly pixelsMax?: number | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: PushProgress) => void;
}

/** The calls to the coordinator; each may be made again. */
export interface PushCalls {
  missing(hashes: readonly string[]): Promise<readonly string[]>;
  /** `parts` gives the parts anew at every call. */
  push(parts: () => AsyncIterable<BlobPart>): Promise<unknown>;
  commit(commit: DataCommit): Promise<DataCommitted>;
}

/** Blobs of one call: so few bytes that a slow line has sent them in time. */
const batchBytes = 4 * 2 ** 20;
const batchBlobs = 64;
const callsAtOnce = 4;
const partBytes = 256 * 1024;
/** Somebody may remove a data set that shares blobs between our question and the commit. */
const roundsMax = 3;

interface Blob {
  readonly sha256: string;
  readonly bytes: number;
  /** ConfigError: it is no picture, or another one by now. */
  readonly read: () => Promise<Uint8Array>;
}

/**
 * ConfigError: the folder breaks a rule that holds for a folder on the workers too, a name is one that no data set may hold,
 * or pictures cannot be used: those that can are sent all the same, so that they need not be sent again.
 */
export async function pushFolder(options: PushOptions, calls: PushCalls): Promise<Pushed> {
  const { name, signal } = options;
  const { blobs, pages, pictures, leftOut } = await readFolder(options);
  const sent = { files: 0, bytes: 0 };
  for (let round = 1; round <= roundsMax; round += 1) {
    const missing = await findMissing(blobs, options, calls);
    const bad = await send(missing, options, calls);
    if (bad.length > 0) throw badPictures(bad, pictures);
    sent.files += missing.length;
    sent.bytes += missing.reduce((sum, { bytes }) => sum + bytes, 0);
    signal.throwIfAborted();
    const { set } = await calls.commit({ name, pages, ignoredFiles: total(leftOut) });
    if (set !== undefined) return { set, sentFiles: sent.files, sentBytes: sent.bytes, leftOut };
  }
  throw new FailureError(
    `what was sent of ${name} is removed again and again, as when other data sets are: push it again`,
  );
}

interface ReadFolder {
  /** Pictures and pages, each once, by hash. */
  readonly blobs: ReadonlyMap<string, Blob>;
  readonly pages: readonly string[];
  readonly pictures: number;
  readonly leftOut: readonly LeftOut[];
}

async function readFolder({
  folder,
  signal,
  onProgress,
  pixelsMax = pixelsMaxDefault,
}: PushOptions): Promise<ReadFolder> {
  const root = resolve(folder);
  const { files, leftOut } = await listFolder(root, "client");
  checkNames(root, files);
  const progress = { files: 0, bytes: 0 };
  const blobs = new Map<string, Blob>();
  const listed = await mapBounded(files, concurrencyDefault, async (file) => {
    signal.throwIfAborted();
    const path = `${root}/${file}`;
    const { sha256, bytes } = await fileMemory.run((await sizeOf(path)) ?? 0, () => hashed(path));
    const read = (): Promise<Uint8Array> => readPicture(path, sha256, pixelsMax);
    blobs.set(sha256, { sha256, bytes, read });
    progress.files += 1;
    progress.bytes += bytes;
    onProgress({ stage: "reading", ...progress, filesTotal: files.length, bytesTotal: 0 });
    return { file, sha256, bytes };
  });
  const pages = encodePages(listed);
  if (pages.length > pagesMax)
    throw new ConfigError(`${root} has more pictures, or longer names, than one data set may`);
  const hashes = pages.map(hashOf);
  for (const [i, page] of pages.entries()) {
    const sha256 = hashes[i] ?? "";
    blobs.set(sha256, { sha256, bytes: page.length, read: () => Promise.resolve(page) });
  }
  return { blobs, pages: hashes, pictures: files.length, leftOut };
}

async function hashed(path: string): Promise<{ readonly sha256: string; readonly bytes: number }> {
  const bytes = await readPictureFile(path);
  if (bytes.length > 0) return { sha256: hashOf(bytes), bytes: bytes.length };
  throw new ConfigError(`the picture ${path} cannot be read: the file is empty`);
}

function checkNames(root: string, files: readonly string[]): void {
  if (files.length > picturesMax)
    throw new ConfigError(`${root} has ${files.length} pictures, at most ${picturesMax} allowed`);
  for (const file of files) {
    const refusal = refusalOfFile(file);
    if (refusal !== undefined)
      throw new ConfigError(`${root} cannot be pushed: ${JSON.stringify(file)}: ${refusal}`);
  }
}

/** Decoded, so that what the workers would refuse is told here; what the store has was decoded when it was sent. */
async function readPicture(path: string, sha256: string, pixelsMax: number): Promise<Uint8Array> {
  const bytes = await readPictureFile(path);
  if (hashOf(bytes) !== sha256)
    throw new ConfigError(`the picture ${path} has changed while it was pushed`);
  const { withPicture } = await import("../data/picture.js");
  await withPicture(bytes, path, () => undefined, { pixelsMax });
  return bytes;
}

async function findMissing(
  blobs: ReadonlyMap<string, Blob>,
  { signal, onProgress }: PushOptions,
  calls: PushCalls,
): Promise<readonly Blob[]> {
  // In order of their hashes, which is that of the store's folders: the coordinator looks into few for each question.
  const hashes = [...blobs.keys()].toSorted();
  const missing: Blob[] = [];
  for (let first = 0; first < hashes.length; first += hashesMax) {
    signal.throwIfAborted();
    const progress = { files: first, filesTotal: hashes.length, bytes: 0, bytesTotal: 0 };
    onProgress({ stage: "asking", ...progress });
    const lacking = await calls.missing(hashes.slice(first, first + hashesMax));
    missing.push(...lacking.flatMap((sha256) => blobs.get(sha256) ?? []));
  }
  return missing;
}

/** Returns what is wrong with the pictures that could not be sent. */
async function send(
  missing: readonly Blob[],
  { signal, onProgress }: PushOptions,
  calls: PushCalls,
): Promise<readonly string[]> {
  const bad: string[] = [];
  const progress = { files: 0, bytes: 0 };
  const total = {
    filesTotal: missing.length,
    bytesTotal: missing.reduce((sum, { bytes }) => sum + bytes, 0),
  };
  await mapBounded(batchesOf(missing), callsAtOnce, async (batch) => {
    const own = { files: 0, bytes: 0, bad: new Array<string>() };
    await calls.push(async function* () {
      // A call that is made again sends all of its blobs again.
      progress.files -= own.files;
      progress.bytes -= own.bytes;
      Object.assign(own, { files: 0, bytes: 0, bad: [] });
      for (const blob of batch) {
        const whole = await readGood(blob, own.bad);
        for (const part of whole === undefined ? [] : partsOf(blob, whole)) {
          signal.throwIfAborted();
          yield part;
          own.bytes += part.data.length;
          progress.bytes += part.data.length;
          onProgress({ stage: "sending", ...progress, ...total });
        }
        own.files += 1;
        progress.files += 1;
      }
    });
    bad.push(...own.bad);
  });
  return bad;
}

async function readGood(blob: Blob, bad: string[]): Promise<Uint8Array | undefined> {
  try {
    return await blob.read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    bad.push(error.message);
    return undefined;
  }
}

function* partsOf({ sha256, bytes }: Blob, whole: Uint8Array): Generator<BlobPart> {
  for (let first = 0; first < whole.length; first += partBytes) {
    const data = whole.subarray(first, first + partBytes);
    yield first === 0 ? { sha256, bytes, data } : { sha256: "", bytes: 0, data };
  }
}

function batchesOf(blobs: readonly Blob[]): readonly (readonly Blob[])[] {
  const batches: Blob[][] = [];
  let last: Blob[] = [];
  let bytes = 0;
  for (const blob of blobs) {
    if (last.length === batchBlobs || (last.length > 0 && bytes + blob.bytes > batchBytes)) {
      batches.push(last);
      last = [];
      bytes = 0;
    }
    last.push(blob);
    bytes += blob.bytes;
  }
  return last.length === 0 ? batches : [...batches, last];
}
