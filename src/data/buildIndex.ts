import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ConfigError, FailureError } from "../job/problem.js";
import { splitForValidation } from "../plan/split.js";
import { examplesPerClass } from "../plan/subset.js";
import { concurrencyDefault, mapBounded } from "./bounded.js";
import { sealIndex, type DataIndex, type ExampleEntry } from "./dataIndex.js";
import { scanFolder, type FolderFile } from "./folder.js";
import { decodePicture, fileBytesMax } from "./picture.js";

export interface IndexRequest {
  /** Folder with one folder per class, on this machine. */
  readonly data: string;
  /** The same for validation; without it a part of `data` is set aside. */
  readonly validation?: string | undefined;
  /** Of each class of `data`, from 0 to below 1. Not used when `validation` is given. */
  readonly validationFraction: number;
  /** Few-shot: train on so many of each class. */
  readonly examplesPerClass?: number | undefined;
  readonly seed: number;
}

export interface IndexProgress {
  readonly done: number;
  readonly total: number;
}

const namedMax = 5;

/**
 * Lists, splits, picks and then reads every picture that the job will use, once, whole: what cannot
 * be decoded is found here and not hours later. The same files and request give the same index.
 *
 * Throws ConfigError naming the path, or the first few unreadable pictures and how many there are;
 * throws the signal's reason when it is aborted.
 */
export async function buildIndex(
  request: IndexRequest,
  onProgress: (progress: IndexProgress) => void,
  signal: AbortSignal,
): Promise<DataIndex> {
  const chosen = await choose(request);
  const total = chosen.training.length + chosen.validation.length;
  const bad: string[] = [];
  let done = 0;
  const examine = (root: string, files: readonly FolderFile[]) =>
    mapBounded(files, concurrencyDefault, async (file) => {
      signal.throwIfAborted();
      try {
        return await readEntry(root, file);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        bad.push(error.message);
        return undefined;
      } finally {
        done += 1;
        onProgress({ done, total });
      }
    });
  const training = await examine(chosen.trainingRoot, chosen.training);
  const validation = await examine(chosen.validationRoot, chosen.validation);
  if (bad.length > 0) throw refusal(bad, total);
  return sealIndex({
    classes: chosen.classes,
    training: training.filter((entry) => entry !== undefined),
    validation: validation.filter((entry) => entry !== undefined),
    trainingRoot: chosen.trainingRoot,
    validationRoot: chosen.validationRoot,
    ignoredFiles: chosen.ignoredFiles,
  });
}

/**
 * Checks that this machine sees the indexed files too: each is there with its size. (The loader checks
 * the contents as it reads them.) Throws ConfigError naming the first that differs.
 */
export async function confirmIndex(index: DataIndex): Promise<void> {
  const confirm = (root: string, entries: readonly ExampleEntry[]) =>
    mapBounded(entries, concurrencyDefault, async ({ file, bytes }) => {
      const path = join(root, file);
      const found = await sizeOf(path);
      if (found === bytes) return undefined;
      if (found === undefined) return `${path} is not on this worker`;
      return `${path} has ${found} bytes on this worker, ${bytes} in the job's index`;
    });
  const training = await confirm(index.trainingRoot, index.training);
  const validation = await confirm(index.validationRoot, index.validation);
  const first = [...training, ...validation].find((difference) => difference !== undefined);
  if (first !== undefined) throw new ConfigError(first);
}

interface Chosen {
  readonly classes: readonly string[];
  readonly training: readonly FolderFile[];
  readonly validation: readonly FolderFile[];
  readonly trainingRoot: string;
  readonly validationRoot: string;
  readonly ignoredFiles: number;
}

/** The few-shot selection comes after the split, so that it never takes what validation needs. */
async function choose(request: IndexRequest): Promise<Chosen> {
  const { seed, examplesPerClass: count } = request;
  const trainingRoot = resolve(request.data);
  const { classes, files, ignoredFiles } = await scanFolder(trainingRoot);
  const few = (own: readonly FolderFile[]): readonly FolderFile[] =>
    count === undefined ? own : pick(own, examplesPerClass(labelsOf(own), classes, count, seed));
  if (request.validation !== undefined) {
    const validationRoot = resolve(request.validation);
    const given = await scanFolder(validationRoot, classes);
    return {
      classes,
      training: few(files),
      validation: given.files,
      trainingRoot,
      validationRoot,
      ignoredFiles: ignoredFiles + given.ignoredFiles,
    };
  }
  const split = splitForValidation(
    labelsOf(files),
    classes.length,
    request.validationFraction,
    seed,
  );
  return {
    classes,
    training: few(pick(files, split.training)),
    validation: pick(files, split.validation),
    trainingRoot,
    validationRoot: trainingRoot,
    ignoredFiles,
  };
}

function labelsOf(files: readonly FolderFile[]): readonly number[] {
  return files.map(({ label }) => label);
}

function pick(files: readonly FolderFile[], chosen: readonly number[]): readonly FolderFile[] {
  return chosen.flatMap((i) => files[i] ?? []);
}

async function readEntry(root: string, { file, label }: FolderFile): Promise<ExampleEntry> {
  const path = join(root, file);
  const size = await sizeOf(path);
  if (size === undefined) throw new ConfigError(`the picture ${path} is not there any more`);
  // Before the file is read: decodePicture would refuse it too, with all of it in memory.
  if (size > fileBytesMax) {
    throw new ConfigError(`the picture ${path} has ${size} bytes, more than ${fileBytesMax}`);
  }
  const bytes = await readBytes(path);
  const { width, height } = await decodePicture(bytes, path);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { file, label, width, height, sha256, bytes: bytes.length };
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`the picture ${path} cannot be read: ${reason}`, { cause: error });
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new FailureError(`${path} cannot be looked up: ${String(code ?? error)}`, {
      cause: error,
    });
  }
}

function refusal(bad: readonly string[], total: number): ConfigError {
  // Sorted, because which of them was read first differs from run to run.
  const named = bad.toSorted().slice(0, namedMax).join("; ");
  if (bad.length === 1) return new ConfigError(named);
  const more = bad.length > namedMax ? `; and ${bad.length - namedMax} more` : "";
  return new ConfigError(`${bad.length} of ${total} pictures cannot be used: ${named}${more}`);
}
