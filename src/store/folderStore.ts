import { createHash, randomUUID } from "node:crypto";
import { link, lstat, mkdir, open, readdir, rename, rm, type FileHandle } from "node:fs/promises";
import type { BigIntStats, Dirent } from "node:fs";
import { dirname, join } from "node:path";
import { FailureError, assert, codeOf, reasonOf } from "../job/problem.js";
import { createIn, removeEmpty, removeEmptyAbove } from "./emptyFolders.js";
import { checkFolder, openPlain, statPlain } from "./plainFile.js";
import {
  blobsPrefix,
  checkName,
  checkPrefix,
  StoreError,
  type Chunks,
  type ProvableStore,
  type Stored,
} from "./store.js";
import { withClaim } from "./claim.js";
import { syncFolder, systemSync } from "./syncFolder.js";
import { isDeadPut, putName } from "./unfinishedPut.js";

const readBytes = 2 ** 20;

/** What not every file system has: CIFS, exFAT, vboxsf, 9p and disks made of buckets lack one or the other. */
export interface FolderCalls {
  readonly link: (from: string, to: string) => Promise<void>;
  /** Forces the names in a folder to disk. */
  readonly sync: (path: string) => Promise<void>;
}

/**
 * A store in a folder, which may be on a disk that several machines share. A file is written under
 * another name beside its own, forced to disk, and renamed, so a kill or a power cut at any point
 * leaves the old file or the new one. Needs a file system whose rename is atomic (any local one, NFS).
 * Links in it are not followed: see plainFile.ts.
 */
export class FolderStore implements ProvableStore {
  readonly #root: string;
  readonly #calls: FolderCalls;
  /** Folders of blobs that were looked through. */
  readonly #cleared = new Set<string>();

  private constructor(root: string, calls: FolderCalls) {
    this.#root = root;
    this.#calls = calls;
  }

  /**
   * Makes the folder where it is missing, and clears away what killed processes left half written: at once, but in a folder
   * of blobs, of which there may be very many, when this process first writes there.
   */
  static async open(root: string, calls: FolderCalls = systemCalls): Promise<FolderStore> {
    const store = new FolderStore(root, calls);
    try {
      await mkdir(root, { recursive: true });
      await store.#clear("");
    } catch (error) {
      throw failure(`the store folder ${root} cannot be opened`, error);
    }
    return store;
  }

  /**
   * Writes a file and does to it what puts do. A disk that is full is one of the things that pass, so it is no refusal, and
   * neither is what is done in another way.
   */
  async prove(): Promise<readonly string[]> {
    const [first, second] = [randomUUID(), randomUUID()].map((id) => join(this.#root, putName(id)));
    try {
      return await this.#limits(first ?? "", second ?? "");
    } catch (error) {
      const why = failure("", error).reason;
      if (isFull(error)) return [`the store ${this.#root} takes nothing at the moment: ${why}`];
      throw new StoreError(
        `the store ${this.#root}: a first file cannot be written to try it`,
        `${why}; the process needs a folder that it may write to, the same on every machine`,
        error,
      );
    } finally {
      for (const path of [first, second])
        await rm(path ?? "", { force: true }).catch(() => undefined);
    }
  }

  async #limits(first: string, second: string): Promise<readonly string[]> {
    const limits: string[] = [];
    await this.#write(await open(first, "wx", 0o644), [Buffer.from("probe\n")]);
    if ((await this.#link(first, second)) === "never")
      limits.push(
        `the store ${this.#root} has no hard links, so that new names are claimed by files beside them`,
      );
    await rename(first, second);
    if (!(await syncFolder(this.#root, this.#calls.sync)))
      limits.push(
        `the store ${this.#root} cannot force folders to disk: a power cut may take what was saved just before it`,
      );
    return limits;
  }

  /** Where the bytes of `name` are, or would be. */
  path(name: string): string {
    checkName(name);
    return join(this.#root, name);
  }

  /** As `path`, for readers that need a file; throws as `get` does where there is none. */
  async file(name: string): Promise<string> {
    await (await this.#opened(name)).close();
    return this.path(name);
  }

  async put(name: string, chunks: Chunks): Promise<Stored> {
    const stored = await this.#put(name, chunks, async (unfinished, path) => {
      await rename(unfinished, path);
      return true;
    });
    assert(stored !== undefined, "a put that replaces has left a name alone");
    return stored;
  }

  /** A hard link is refused where the name is taken, which a rename is not. */
  putNew(name: string, chunks: Chunks): Promise<Stored | undefined> {
    return this.#put(name, chunks, async (unfinished, path) => {
      const linked = await this.#link(unfinished, path);
      if (linked === "never") return this.#claim(unfinished, path);
      // On a network disk the answer of a link that was made may be lost, and the call be repeated.
      const isOurs = linked === "made" || (await sameFile(unfinished, path));
      await rm(unfinished);
      return isOurs;
    });
  }

  /** `never`: this file system has no hard links. */
  async #link(from: string, to: string): Promise<"made" | "taken" | "never"> {
    try {
      await this.#calls.link(from, to);
      return "made";
    } catch (error) {
      if (codeOf(error) === "EEXIST") return "taken";
      if (lacksLinks.has(codeOf(error) ?? "")) return "never";
      throw error;
    }
  }

  async #claim(unfinished: string, path: string): Promise<boolean> {
    const isOurs = await withClaim(path, randomUUID(), async () => {
      if (await exists(path)) return false;
      await rename(unfinished, path);
      return true;
    });
    if (isOurs !== true) await rm(unfinished, { force: true });
    return isOurs === true;
  }

  /** `finish` gives the file its name; false: another has it, and the file was removed. */
  async #put(
    name: string,
    chunks: Chunks,
    finish: (unfinished: string, path: string) => Promise<boolean>,
  ): Promise<Stored | undefined> {
    const path = this.path(name);
    const folder = dirname(path);
    const unfinished = join(folder, putName(randomUUID()));
    try {
      if (name.startsWith(blobsPrefix)) await this.#clearOnce(dirname(name));
      const file = await createIn((made) => this.#makeFolder(made), unfinished);
      const stored = await this.#write(file, chunks);
      if (!(await finish(unfinished, path))) return undefined;
      await syncFolder(folder, this.#calls.sync);
      return stored;
    } catch (error) {
      await rm(unfinished, { force: true }).catch(() => undefined);
      // What the chunks' own source throws is not the store's to explain.
      throw isSystemError(error)
        ? failure(`${name} cannot be written to the store ${this.#root}`, error)
        : error;
    }
  }

  async *get(name: string): AsyncIterable<Uint8Array> {
    const file = await this.#opened(name);
    try {
      for (;;) {
        const chunk = Buffer.allocUnsafe(readBytes);
        const { bytesRead } = await file.read(chunk, 0, readBytes);
        if (bytesRead === 0) return;
        yield chunk.subarray(0, bytesRead);
      }
    } catch (error) {
      throw isSystemError(error) ? failure(`${name} cannot be read from the store`, error) : error;
    } finally {
      await file.close();
    }
  }

  async stat(name: string): Promise<{ readonly bytes: number } | undefined> {
    const path = this.path(name);
    try {
      const found = await statPlain(this.#root, path);
      return found && { bytes: found.size };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw failure(`${name} cannot be looked up in the store ${this.#root}`, error);
    }
  }

  async list(prefix: string): Promise<string[]> {
    checkPrefix(prefix);
    const folder = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    try {
      const paths = await this.#paths(folder);
      return paths
        .map((path) => path.slice(join(this.#root, "/").length))
        .filter((name) => name.startsWith(prefix) && !/(^|\/)\./.test(name))
        .toSorted();
    } catch (error) {
      throw failure(`the store ${this.#root} cannot be listed`, error);
    }
  }

  async delete(name: string): Promise<void> {
    const path = this.path(name);
    try {
      await checkFolder(this.#root, dirname(path));
      await rm(path, { force: true });
    } catch (error) {
      if (isMissing(error)) return;
      throw failure(`${name} cannot be deleted from the store ${this.#root}`, error);
    }
    await removeEmptyAbove(this.#root, name);
  }

  async #opened(name: string) {
    const path = this.path(name);
    try {
      return await openPlain(this.#root, path);
    } catch (error) {
      if (isMissing(error)) {
        throw new FailureError(`${name} is not in the store ${this.#root}`, { cause: error });
      }
      throw failure(`${name} cannot be read from the store ${this.#root}`, error);
    }
  }

  async #clearOnce(folder: string): Promise<void> {
    if (this.#cleared.has(folder)) return;
    this.#cleared.add(folder);
    await this.#clear(`${folder}/`);
  }

  /** `folder` ends with a slash, or is empty. */
  async #clear(folder: string): Promise<void> {
    for (const entry of await entriesOf(join(this.#root, folder))) {
      const below = `${folder}${entry.name}`;
      const path = join(this.#root, below);
      if (!entry.isDirectory()) {
        if (await isDeadPut(path)) await rm(path, { force: true });
      } else if (`${below}/` !== blobsPrefix) {
        await this.#clear(`${below}/`);
        await removeEmpty(path);
      }
    }
  }

  /** Everything new is forced to disk up to the root, or a power cut could take the folder itself. */
  async #makeFolder(folder: string): Promise<void> {
    const first = await mkdir(folder, { recursive: true });
    if (first !== undefined) {
      for (let made = folder; made.length >= first.length; made = dirname(made)) {
        await syncFolder(dirname(made), this.#calls.sync);
      }
    }
    await checkFolder(this.#root, folder);
  }

  async #write(file: FileHandle, chunks: Chunks): Promise<Stored> {
    const hash = createHash("sha256");
    let bytes = 0;
    try {
      for await (const chunk of chunks) {
        hash.update(chunk);
        bytes += chunk.length;
        for (let done = 0; done < chunk.length;) {
          done += (await file.write(chunk, done)).bytesWritten;
        }
      }
      await file.sync();
    } finally {
      await file.close();
    }
    return { sha256: hash.digest("hex"), bytes };
  }

  /** Paths of all files below a folder of the store, unfinished ones too. */
  async #paths(folder: string): Promise<string[]> {
    const found: string[] = [];
    const path = join(this.#root, folder);
    const isThere = await checkFolder(this.#root, path).then(
      () => true,
      (error: unknown) => {
        if (isMissing(error)) return false;
        throw error;
      },
    );
    if (isThere) await this.#walk(path, found);
    return found;
  }

  /** One folder after the other: each may go meanwhile, with what was in it. */
  async #walk(path: string, found: string[]): Promise<void> {
    for (const entry of await entriesOf(path)) {
      const below = join(path, entry.name);
      if (entry.isDirectory()) await this.#walk(below, found);
      else if (entry.isFile()) found.push(below);
    }
  }
}

async function entriesOf(path: string): Promise<Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

const systemCalls: FolderCalls = { link, sync: systemSync };

/** How file systems say that they have no hard links; EPERM: CIFS, exFAT, and FUSE of buckets. */
const lacksLinks = new Set([
  "EPERM",
  "ENOTSUP",
  "EOPNOTSUPP",
  "ENOSYS",
  "EINVAL",
  "EACCES",
  "EMLINK",
]);
async function exists(path: string): Promise<boolean> {
  return (await found(path)) !== undefined;
}

async function sameFile(a: string, b: string): Promise<boolean> {
  const [one, other] = await Promise.all([found(a), found(b)]);
  return one !== undefined && one.dev === other?.dev && one.ino === other.ino;
}

async function found(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, { bigint: true });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isFull(error: unknown): boolean {
  return codeOf(error) === "ENOSPC" || codeOf(error) === "EDQUOT";
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && codeOf(error) !== undefined;
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR";
}

const reasons: ReadonlyMap<string, string> = new Map([
  ["ENOSPC", "the disk is full"],
  ["EDQUOT", "the disk quota is used up"],
  ["EFBIG", "the file grows larger than files may be"],
  ["EIO", "the disk has an error"],
  ["EROFS", "the file system is read-only"],
  ["EACCES", "permission is denied"],
]);

function failure(what: string, cause: unknown): StoreError {
  const code = codeOf(cause) ?? "";
  const reason = reasons.get(code) ?? reasonOf(cause);
  return new StoreError(what, reason, cause);
}
