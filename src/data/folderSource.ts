import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, FailureError, UnreadableError, codeOf, reasonOf } from "../job/problem.js";
import { hashOf } from "./blobs.js";
import type { ExampleEntry } from "./dataIndex.js";
import { listFolder, type Listing } from "./folder.js";
import { fileBytesMax } from "./pictureBounds.js";
import type { PictureSource } from "./pictureSource.js";

/** The pictures of a folder on this machine. */
export class FolderSource implements PictureSource {
  readonly #root: string;
  readonly #linkRoots: readonly string[];

  constructor(root: string, linkRoots: readonly string[] = []) {
    this.#root = root;
    this.#linkRoots = linkRoots;
  }

  pathOf(file: string): string {
    return join(this.#root, file);
  }

  list(): Promise<Listing> {
    return listFolder(this.#root, "worker", this.#linkRoots);
  }

  async sizeOf(file: string): Promise<number> {
    return (await sizeOf(this.pathOf(file))) ?? 0;
  }

  read(file: string): Promise<Uint8Array> {
    return readPictureFile(this.pathOf(file));
  }

  async difference({ file, bytes }: ExampleEntry): Promise<string | undefined> {
    const path = this.pathOf(file);
    const found = await sizeOf(path);
    if (found === bytes) return undefined;
    if (found === undefined) return `${path} is not on this worker`;
    return `${path} has ${found} bytes on this worker, ${bytes} in the job's index`;
  }

  async reread({ file, sha256 }: ExampleEntry): Promise<Uint8Array> {
    const path = this.pathOf(file);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(path);
    } catch (error) {
      throw new UnreadableError(`the picture ${path} can no longer be read: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    if (hashOf(bytes) === sha256) return bytes;
    throw new FailureError(`the picture ${path} has changed since the job was submitted`);
  }
}

/** ConfigError: it is not there, cannot be read, or is larger than a picture may be. */
export async function readPictureFile(path: string): Promise<Uint8Array> {
  const size = await sizeOf(path);
  if (size === undefined) throw new ConfigError(`the picture ${path} is not there any more`);
  // Before the file is read: decodePicture would refuse it too, with all of it in memory.
  if (size > fileBytesMax) {
    throw new ConfigError(`the picture ${path} has ${size} bytes, more than ${fileBytesMax}`);
  }
  try {
    return await readFile(path);
  } catch (error) {
    const reason = reasonOf(error);
    throw new ConfigError(`the picture ${path} cannot be read: ${reason}`, { cause: error });
  }
}

export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new FailureError(`${path} cannot be looked up: ${String(code ?? error)}`, {
      cause: error,
    });
  }
}
