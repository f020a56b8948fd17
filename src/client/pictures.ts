/** Pictures on their way to the coordinator. */
import { open, stat } from "node:fs/promises";
import { basename } from "node:path";
import { mayBeMisread } from "../data/folderNames.js";
import { cut } from "../job/cutText.js";
import { pictureNameMax, predictLimits } from "../job/limits.js";
import { ConfigError } from "../job/problem.js";
import type { PredictPart } from "../wire/training.js";

const partBytes = 512 * 1024;

/** ConfigError names the first file that is none, is empty or is too large, or says that all are together; nothing is sent then. */
export async function checkPictures(files: readonly string[]): Promise<void> {
  if (files.length === 0) throw new ConfigError("no picture is named");
  if (files.length > predictLimits.pictures) {
    throw new ConfigError(`${files.length} pictures, at most ${predictLimits.pictures} at once`);
  }
  let totalBytes = 0;
  for (const file of files) {
    const entry = await stat(file).catch((error: unknown) => {
      const misread = mayBeMisread(file) ? ": its name may not be UTF-8" : "";
      throw new ConfigError(`cannot read ${file}${misread}`, { cause: error });
    });
    if (!entry.isFile()) throw new ConfigError(`${file} is no file`);
    if (entry.size === 0) throw new ConfigError(`${file} is empty`);
    if (entry.size > predictLimits.pictureBytes) {
      const most = predictLimits.pictureBytes;
      throw new ConfigError(`${file} has ${entry.size} bytes, at most ${most} allowed`);
    }
    totalBytes += entry.size;
    if (totalBytes > predictLimits.totalBytes) {
      const most = predictLimits.totalBytes;
      throw new ConfigError(`with ${file} the pictures have more than ${most} bytes together`);
    }
  }
}

/** The parts of all pictures in order; a picture is called by its path as given. */
export async function* pictureParts(
  job: string,
  files: readonly string[],
): AsyncGenerator<PredictPart> {
  yield { job, picture: "", data: new Uint8Array(0) };
  for (const file of files) {
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
function pictureName(file: string): string {
  return cut(file.length <= pictureNameMax ? file : basename(file), pictureNameMax);
}
