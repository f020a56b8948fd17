import { resolve } from "node:path";
import { checkClasses } from "../job/classes.js";
import { dataSetAt } from "../job/dataPlace.js";
import { LeftOutCounts, type LeftOut } from "../job/leftOut.js";
import { ConfigError } from "../job/problem.js";
import { splitForValidation } from "../plan/split.js";
import { examplesPerClass } from "../plan/subset.js";
import { badPictures } from "./badPictures.js";
import { hashOf } from "./blobs.js";
import { concurrencyDefault, fileMemory, mapBounded } from "./bounded.js";
import { sealIndex, type DataIndex, type ExampleEntry } from "./dataIndex.js";
import { labelled, type LabelledFile } from "./labels.js";
import { withPicture } from "./picture.js";
import { pixelsMaxDefault } from "./pictureBounds.js";
import type { PictureSource } from "./pictureSource.js";
import { sourceAt } from "./openSource.js";
import type { Picture } from "./resize.js";
import type { StoredData } from "./storedSource.js";

export interface IndexRequest {
  /** Folder with one folder per class, on this machine, or `store:NAME`. */
  readonly data: string;
  /** The same for validation; without it a part of `data` is set aside. */
  readonly validation?: string | undefined;
  /** Of each class of `data`, from 0 to below 1. Not used when `validation` is given. */
  readonly validationFraction: number;
  /** Few-shot: train on so many of each class. */
  readonly examplesPerClass?: number | undefined;
  readonly seed: number;
  /** Where links in a folder may lead, besides into the folder itself. */
  readonly linkRoots?: readonly string[] | undefined;
  /** The most that a picture may have. */
  readonly pixelsMax?: number | undefined;
}

export interface IndexProgress {
  readonly done: number;
  readonly total: number;
}

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
  stored?: StoredData,
): Promise<DataIndex> {
  const { pixelsMax = pixelsMaxDefault } = request;
  const chosen = await choose(request, stored);
  const total = chosen.training.length + chosen.validation.length;
  const bad: string[] = [];
  let done = 0;
  const examine = (source: PictureSource, files: readonly LabelledFile[]) =>
    mapBounded(files, concurrencyDefault, async (file) => {
      signal.throwIfAborted();
      try {
        return await readEntry(source, file, pixelsMax);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        bad.push(error.message);
        return undefined;
      } finally {
        done += 1;
        onProgress({ done, total });
      }
    });
  const training = await examine(chosen.trainingSource, chosen.training);
  const validation = await examine(chosen.validationSource, chosen.validation);
  if (bad.length > 0) throw badPictures(bad, total);
  return sealIndex({
    classes: chosen.classes,
    training: training.filter((entry) => entry !== undefined),
    validation: validation.filter((entry) => entry !== undefined),
    trainingRoot: chosen.trainingRoot,
    validationRoot: chosen.validationRoot,
    leftOut: chosen.leftOut,
  });
}

/**
 * Checks that this machine sees the indexed files too: each is there with its size. (The loader checks
 * the contents as it reads them.) Throws ConfigError naming the first that differs.
 */
export async function confirmIndex(index: DataIndex, stored?: StoredData): Promise<void> {
  const confirm = (root: string, entries: readonly ExampleEntry[]) => {
    const source = sourceAt(root, stored);
    return mapBounded(entries, concurrencyDefault, (entry) => source.difference(entry));
  };
  const training = await confirm(index.trainingRoot, index.training);
  const validation = await confirm(index.validationRoot, index.validation);
  const first = [...training, ...validation].find((difference) => difference !== undefined);
  if (first !== undefined) throw new ConfigError(first);
}

interface Chosen {
  readonly classes: readonly string[];
  readonly training: readonly LabelledFile[];
  readonly validation: readonly LabelledFile[];
  readonly trainingRoot: string;
  readonly trainingSource: PictureSource;
  readonly validationRoot: string;
  readonly validationSource: PictureSource;
  readonly leftOut: readonly LeftOut[];
}

/** The few-shot selection comes after the split, so that it never takes what validation needs. */
async function choose(request: IndexRequest, stored: StoredData | undefined): Promise<Chosen> {
  const { seed, examplesPerClass: count } = request;
  const trainingRoot = rootOf(request.data);
  const trainingSource = sourceAt(trainingRoot, stored, request.linkRoots);
  const listing = await trainingSource.list();
  const { classes, files } = labelled(listing);
  checkClasses(classes);
  const few = (own: readonly LabelledFile[]): readonly LabelledFile[] =>
    count === undefined ? own : pick(own, examplesPerClass(labelsOf(own), classes, count, seed));
  if (request.validation !== undefined) {
    const validationRoot = rootOf(request.validation);
    const validationSource = sourceAt(validationRoot, stored, request.linkRoots);
    const given = await validationSource.list();
    const leftOut = new LeftOutCounts();
    for (const one of [listing, given]) leftOut.addAll(one.leftOut);
    return {
      classes,
      training: few(files),
      validation: labelled(given, classes).files,
      trainingRoot,
      trainingSource,
      validationRoot,
      validationSource,
      leftOut: leftOut.list(),
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
    trainingSource,
    validationRoot: trainingRoot,
    validationSource: trainingSource,
    leftOut: listing.leftOut,
  };
}

function rootOf(place: string): string {
  return dataSetAt(place) === undefined ? resolve(place) : place;
}

function labelsOf(files: readonly LabelledFile[]): readonly number[] {
  return files.map(({ label }) => label);
}

function pick(files: readonly LabelledFile[], chosen: readonly number[]): readonly LabelledFile[] {
  return chosen.flatMap((i) => files[i] ?? []);
}

async function readEntry(
  source: PictureSource,
  { file, label }: LabelledFile,
  pixelsMax: number,
): Promise<ExampleEntry> {
  return fileMemory.run(await source.sizeOf(file), async () => {
    const bytes = await source.read(file);
    const sides = ({ width, height }: Picture) => ({ width, height });
    const { width, height } = await withPicture(bytes, source.pathOf(file), sides, { pixelsMax });
    return { file, label, width, height, sha256: hashOf(bytes), bytes: bytes.length };
  });
}
