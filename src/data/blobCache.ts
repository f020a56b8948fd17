import { randomUUID } from "node:crypto";
import {
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
  type FileHandle,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import type { CacheSetting } from "../process/cacheSetting.js";
import { isDeadPut, putName } from "../store/unfinishedPut.js";
import { hashOf, isSha256 } from "./blobs.js";
import { withFileLock, type LockTimes } from "./fileLock.js";
import type { Blobs } from "./storedSource.js";

/** Reading a blob says that it was used, but no more often than this. */
const touchMs = 60_000;
/** Room is made for more than is needed at once: it costs a look at all files. */
const evictTo = 0.9;
/** After a write that failed, as on a full disk, it is not tried again for so long. */
const restMs = 10_000;
const lockTimes: LockTimes = { patienceMs: 2_000, staleMs: 60_000 };

/**
 * Blobs kept in a folder of this machine, which its worker processes share; the ones used longest ago make room for others.
 * How much there is stands in a file, changed under a lock before a blob is written, so that the bound holds whoever writes
 * and whoever is killed. What goes wrong here costs a read from the store and nothing else.
 */
export class BlobCache implements Blobs {
  readonly #source: Blobs;
  readonly #folder: string;
  readonly #bytesMax: number;
  /** The last change of ours: those of one process do not wait for each other at the lock. */
  #last: Promise<unknown> = Promise.resolve();
  #restsUntilMs = 0;

  constructor(source: Blobs, { folder, bytesMax }: CacheSetting) {
    this.#source = source;
    // The folder may hold other things, such as a GPU's compiled kernels.
    this.#folder = join(folder, "blobs");
    this.#bytesMax = bytesMax;
  }

  async read(sha256: string, bytesMax: number): Promise<Uint8Array> {
    const kept = await this.#kept(sha256, bytesMax);
    if (kept !== undefined) return kept;
    const bytes = await this.#source.read(sha256, bytesMax);
    if (performance.now() >= this.#restsUntilMs)
      await this.#keep(sha256, bytes).catch(() => this.#rest());
    return bytes;
  }

  async #kept(sha256: string, bytesMax: number): Promise<Uint8Array | undefined> {
    const path = this.#path(sha256);
    try {
      const file = await open(path, "r");
      try {
        const bytes = await wholeFile(file, bytesMax);
        if (bytes !== undefined && hashOf(bytes) === sha256) return bytes;
      } finally {
        await file.close();
      }
      // Its bytes stay counted until all are counted anew.
      await rm(path, { force: true });
    } catch {
      // It is not there, or not to be read.
    }
    return undefined;
  }

  async #keep(sha256: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > this.#bytesMax) return;
    if (!(await this.#reserve(bytes.length))) return;
    const path = this.#path(sha256);
    const part = join(dirname(path), putName(randomUUID()));
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(part, bytes);
      await rename(part, path);
    } catch {
      this.#rest();
      await rm(part, { force: true });
      await this.#alone(async () => {
        const used = await this.#used();
        if (used !== undefined) await this.#note(Math.max(0, used - bytes.length));
      });
    }
  }

  #rest(): void {
    this.#restsUntilMs = performance.now() + restMs;
  }

  /** False where there is no room to be had. */
  async #reserve(bytes: number): Promise<boolean> {
    const reserved = await this.#alone(async () => {
      let used = (await this.#used()) ?? (await this.#evict(this.#bytesMax - bytes));
      if (used + bytes > this.#bytesMax)
        used = await this.#evict(Math.min(this.#bytesMax - bytes, evictTo * this.#bytesMax));
      if (used + bytes > this.#bytesMax) return false;
      await this.#note(used + bytes);
      return true;
    });
    return reserved === true;
  }

  #alone<T>(work: () => Promise<T>): Promise<T | undefined> {
    const turn = this.#last.then(async () => {
      await mkdir(this.#folder, { recursive: true });
      return withFileLock(join(this.#folder, ".lock"), lockTimes, work);
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** Undefined where it is not known: at first, and where a process was killed as it wrote. */
  async #used(): Promise<number | undefined> {
    const text = await readFile(this.#ledger, "utf8").catch(() => "");
    return /^\d{1,16}\n$/.test(text) ? Number(text) : undefined;
  }

  #note(used: number): Promise<void> {
    return writeFile(this.#ledger, `${used}\n`);
  }

  get #ledger(): string {
    return join(this.#folder, ".bytes");
  }

  /** Removes the blobs used longest ago until `target` bytes are left at most; returns how many there are. */
  async #evict(target: number): Promise<number> {
    const files = await this.#files();
    let used = files.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { path, bytes, usedMs } of files.toSorted((a, b) => a.usedMs - b.usedMs)) {
      if (used <= target || usedMs === Infinity) break;
      await rm(path, { force: true });
      used -= bytes;
    }
    return used;
  }

  async #files(): Promise<readonly CachedFile[]> {
    const files: CachedFile[] = [];
    for (const entry of await readdir(this.#folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const folder = join(this.#folder, entry.name);
      for (const name of await readdir(folder)) {
        const path = join(folder, name);
        if (!isSha256(name) && (await isDeadPut(path))) await rm(path, { force: true });
        const found = await stat(path).catch(() => undefined);
        if (found === undefined) continue;
        // What is being written is counted, and not taken away.
        const usedMs = isSha256(name) ? found.mtimeMs : Infinity;
        files.push({ path, bytes: found.size, usedMs });
      }
    }
    return files;
  }

  #path(sha256: string): string {
    return join(this.#folder, sha256.slice(0, 2), sha256);
  }
}

interface CachedFile {
  readonly path: string;
  readonly bytes: number;
  readonly usedMs: number;
}

/** Undefined where it is larger than it may be. */
async function wholeFile(file: FileHandle, bytesMax: number): Promise<Uint8Array | undefined> {
  const { size, mtimeMs } = await file.stat();
  if (size > bytesMax) return undefined;
  const bytes = await file.readFile();
  const now = new Date();
  if (now.getTime() - mtimeMs > touchMs) await file.utimes(now, now).catch(() => undefined);
  return bytes;
}
