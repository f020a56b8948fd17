/** Pictures on their way to the coordinator. */
import type { Stats } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, join, relative, sep } from "node:path";
import { isSystemName, mayBeMisread } from "../data/folderNames.js";
import { isPictureName } from "../data/pictureBounds.js";
import { cut } from "../job/cutText.js";
import { pictureNameMax, predictLimits } from "../job/limits.js";
import { ConfigError } from "../job/problem.js";
import type { PredictPart } from "../wire/training.js";

const partBytes = 512 * 1024;

export interface FoundPicture {
  /** Its path, as given or below a folder that was given. */
  readonly file: string;
  readonly bytes: number;
  /** Why it is not sent. */
  readonly problem?: string;
}

/**
 * The files, and of folders all that are pictures by their names, at any depth, in order. ConfigError names the first path that is
 * neither, or the folder that has none; a file that is empty or too large has its problem said.
 */
export async function findPictures(paths: readonly string[]): Promise<readonly FoundPicture[]> {
  if (paths.length === 0) throw new ConfigError("no picture is named");
  const found: FoundPicture[] = [];
  for (const path of paths) {
    const entry = await statOf(path);
    if (entry.isFile()) found.push(checked(path, entry.size));
    else if (!entry.isDirectory()) throw new ConfigError(`${path} is no file and no folder`);
    else
      for (const file of await filesBelow(path))
        found.push(checked(file, (await statOf(file)).size));
  }
  return found;
}

async function statOf(file: string): Promise<Stats> {
  return stat(file).catch((error: unknown) => {
    const misread = mayBeMisread(file) ? ": its name may not be UTF-8" : "";
    throw new ConfigError(`cannot read ${file}${misread}`, { cause: error });
  });
}

/** Names that start with a dot, and what systems leave behind, are skipped. */
async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => (entry.isFile() || entry.isSymbolicLink()) && isPictureName(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((file) => !relative(folder, file).split(sep).some(isSkipped))
    .toSorted();
  if (files.length === 0)
    throw new ConfigError(`the folder ${folder} has no JPEG, PNG, WebP or GIF in it`);
  return files;
}

function isSkipped(name: string): boolean {
  return name.startsWith(".") || isSystemName(name);
}

function checked(file: string, bytes: number): FoundPicture {
  const most = predictLimits.pictureBytes;
  if (bytes === 0) return { file, bytes, problem: "the file is empty" };
  if (bytes > most)
    return { file, bytes, problem: `the file has ${bytes} bytes, at most ${most} allowed` };
  return { file, bytes };
}

/** As few lists as one call takes each, by number and by bytes. */
export function* callsOf(
  pictures: readonly FoundPicture[],
  limits: Pick<typeof predictLimits, "pictures" | "totalBytes"> = predictLimits,
): Generator<readonly FoundPicture[]> {
  let call: FoundPicture[] = [];
  let total = 0;
  for (const picture of pictures) {
    const isFull = call.length >= limits.pictures || total + picture.bytes > limits.totalBytes;
    if (call.length > 0 && isFull) {
      yield call;
      [call, total] = [[], 0];
    }
    call.push(picture);
    total += picture.bytes;
  }
  if (call.length > 0) yield call;
}

/** The parts of all pictures in order; a picture is called by its path as given. */
export async function* pictureParts(
  job: string,
  pictures: readonly FoundPicture[],
): AsyncGenerator<PredictPart> {
  yield { job, picture: "", data: new Uint8Array(0) };
  for (const { file } of pictures) {
    yield { job: "", picture: pictureName(file), data: new Uint8Array(0) };
    const handle = await open(file);
    try {
      for await (const data of handle.createReadStream({ highWaterMark: partBytes })) {
        if (data instanceof Uint8Array) yield { job: "", picture: "", data };
      }
    } finally {
      await handle.close();
    }
  }
}

/** The wire bounds names; the end of a long path says more than its beginning. */
export function pictureName(file: string): string {
  return cut(file.length <= pictureNameMax ? file : basename(file), pictureNameMax);
}
