/** Data sets that clients push: blobs in the store, and the small file that makes a set of them. */
import { blobOf, missingBlobs, putBlob } from "../src/data/blobs.js";
import {
  checkFollows,
  classOf,
  decodePage,
  pageBytesMax,
  picturesMax,
  type ListedFile,
} from "../src/data/dataPages.js";
import {
  encodeDataSet,
  readDataSet,
  setName,
  setsMax,
  setsPrefix,
  type DataSet,
} from "../src/data/dataSet.js";
import { blobsOf } from "../src/data/openStored.js";
import { listedFiles } from "../src/data/storedSource.js";
import { checkDataName, dataSetAt } from "../src/job/dataPlace.js";
import { classesMax } from "../src/job/limits.js";
import { ConfigError, FailureError, NotFoundError } from "../src/job/problem.js";
import { shell } from "../src/job/shell.js";
import { blobsPrefix, type Store } from "../src/store/store.js";
import type { BlobPart, DataCommit, DataCommitted, DataSetStatus } from "../src/wire/training.js";
import { HashMarks } from "./hashMarks.js";
import { incomingBlobs } from "./incomingBlobs.js";
import { timely } from "./timely.js";

export interface DataSetsOptions {
  readonly store: Store;
  /** Whether this coordinator holds the lock now, however long it takes to know. */
  readonly isHolder: () => Promise<boolean>;
  /** Jobs that have not ended whose data or validation is at the place. */
  readonly usersOf: (name: string) => readonly string[];
  /** A client that sends nothing for so long is not waited for. */
  readonly silentMs?: number;
}

const silentMsDefault = 30_000;
const blobsPerPush = 1024;

export class DataSets {
  readonly #options: DataSetsOptions;
  /** Submits under way, by the data set that they use. */
  readonly #using = new Map<string, number>();
  readonly #removing = new Set<string>();
  /** Commits and removals, one after the other: a blob must not go while a set is made of it. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: DataSetsOptions) {
    this.#options = options;
  }

  missing(hashes: readonly string[]): Promise<readonly string[]> {
    return missingBlobs(this.#options.store, hashes);
  }

  /** Stores blob after blob. ConfigError: one is too large, or is not what its hash says; those before it stay. */
  async push(parts: AsyncIterable<BlobPart>): Promise<number> {
    const { store, silentMs = silentMsDefault } = this.#options;
    let blobs = 0;
    for await (const { chunks, ...blob } of incomingBlobs(timely(parts, silentMs))) {
      if (blobs === blobsPerPush)
        throw new ConfigError(`more than ${blobsPerPush} blobs in one call`);
      await putBlob(store, blob, chunks);
      blobs += 1;
    }
    return blobs;
  }

  commit(commit: DataCommit): Promise<DataCommitted> {
    return this.#alone(async () => {
      const name = checkDataName(commit.name);
      const { store } = this.#options;
      const lacking = await missingBlobs(store, commit.pages);
      if (lacking.length > 0) return { missing: lacking.length, set: undefined };
      const { set, hashes } = await this.#read({ ...commit, name });
      const missing = (await missingBlobs(store, hashes)).length;
      if (missing > 0) return { missing, set: undefined };
      await this.#checkHolder(name);
      await this.#put(set);
      return { missing: 0, set: statusOf(set) };
    });
  }

  async list(): Promise<readonly DataSetStatus[]> {
    const sets: DataSetStatus[] = [];
    for (const name of await this.#names()) {
      const set = await readDataSet(this.#options.store, name);
      if (set !== undefined) sets.push(statusOf(set));
    }
    return sets;
  }

  async remove(name: string): Promise<number> {
    checkDataName(name);
    if (this.#removing.has(name)) throw new FailureError(`data set ${name} is being removed`);
    this.#removing.add(name);
    try {
      this.#checkUnused(name);
      return await this.#alone(() => this.#remove(name));
    } finally {
      this.#removing.delete(name);
    }
  }

  /**
   * Keeps the data sets at these places, which may be folders, until what is returned is called. ConfigError: one is not
   * there.
   */
  async use(places: readonly (string | undefined)[]): Promise<() => void> {
    const names = places.flatMap((place) => dataSetAt(place ?? "") ?? []);
    for (const name of names) {
      if (this.#removing.has(name)) throw new FailureError(`data set ${name} is being removed`);
    }
    for (const name of names) this.#using.set(name, (this.#using.get(name) ?? 0) + 1);
    const release = (): void => {
      for (const name of names) this.#using.set(name, (this.#using.get(name) ?? 1) - 1);
    };
    try {
      for (const name of names) await this.#checkThere(name);
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }

  async #checkThere(name: string): Promise<void> {
    if ((await this.#options.store.stat(setName(name))) !== undefined) return;
    throw new ConfigError(
      `there is no data set ${name}: make it with "${shell`bitfleet data push FOLDER ${name}`}"`,
    );
  }

  /** Reads the pages as what they are, strangers' bytes, and sums them up. WireError: they are no pages. */
  async #read({ name, pages, ignoredFiles }: DataCommit): Promise<{
    readonly set: DataSet;
    readonly hashes: ReadonlySet<string>;
  }> {
    const blobs = blobsOf(this.#options.store);
    const hashes = new Set<string>();
    const sum = { classes: 0, pictures: 0, bytes: 0 };
    let last: ListedFile | undefined;
    for (const page of pages) {
      for (const file of decodePage(await blobs.read(page, pageBytesMax))) {
        checkFollows(last, file);
        if (last === undefined || classOf(last.file) !== classOf(file.file)) sum.classes += 1;
        sum.pictures += 1;
        sum.bytes += file.bytes;
        hashes.add(file.sha256);
        last = file;
      }
      if (sum.pictures > picturesMax)
        throw new ConfigError(`data set ${name} has more than ${picturesMax} pictures`);
    }
    if (sum.pictures === 0) throw new ConfigError(`data set ${name} has no pictures`);
    if (sum.classes > classesMax)
      throw new ConfigError(`data set ${name} has ${sum.classes} classes, at most ${classesMax}`);
    return { set: { name, ...sum, ignoredFiles, pages }, hashes };
  }

  async #put(set: DataSet): Promise<void> {
    const { store } = this.#options;
    const { name } = set;
    const encoded = encodeDataSet(set);
    const names = await this.#names();
    if (!names.includes(name)) {
      if (names.length >= setsMax)
        throw new FailureError(`there are ${names.length} data sets, and ${setsMax} at most`);
      if ((await store.putNew(setName(name), [encoded])) !== undefined) return;
    }
    const found = await readDataSet(store, name);
    if (found !== undefined && Buffer.from(encodeDataSet(found)).equals(encoded)) return;
    throw new ConfigError(
      `name ${name} is in use by a data set of other pictures: choose another name, or "${shell`bitfleet data remove ${name}`}" first`,
    );
  }

  async #remove(name: string): Promise<number> {
    const { store } = this.#options;
    if ((await store.stat(setName(name))) === undefined)
      throw new NotFoundError(`there is no data set ${name}`);
    await this.#checkHolder(name);
    await store.delete(setName(name));
    const named = new HashMarks();
    for (const other of await this.#names()) {
      const pages = (await readDataSet(store, other))?.pages ?? [];
      for (const page of pages) named.add(page);
      for await (const { sha256 } of listedFiles(blobsOf(store), pages)) named.add(sha256);
    }
    let removed = 0;
    for (let folder = 0; folder < 256; folder += 1) {
      const prefix = `${blobsPrefix}${folder.toString(16).padStart(2, "0")}/`;
      for (const blob of await store.list(prefix)) {
        const sha256 = blobOf(blob);
        if (sha256 === undefined || named.has(sha256)) continue;
        await store.delete(blob);
        removed += 1;
      }
    }
    return removed;
  }

  #checkUnused(name: string): void {
    const [job] = this.#options.usersOf(name);
    if (job !== undefined)
      throw new FailureError(
        `data set ${name} cannot be removed: job ${job} uses it, and has not ended`,
      );
    if ((this.#using.get(name) ?? 0) > 0)
      throw new FailureError(
        `data set ${name} cannot be removed: a job that uses it is being submitted`,
      );
  }

  async #checkHolder(name: string): Promise<void> {
    if (await this.#options.isHolder()) return;
    throw new FailureError(
      `what was asked of data set ${name} was not done: another coordinator has taken over; ask again`,
    );
  }

  async #names(): Promise<readonly string[]> {
    const names = await this.#options.store.list(setsPrefix);
    return names.map((name) => name.slice(setsPrefix.length));
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

function statusOf({ name, classes, pictures, bytes, ignoredFiles }: DataSet): DataSetStatus {
  return { name, classes, pictures, bytes, ignoredFiles };
}
