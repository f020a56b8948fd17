import { placeOf } from "../job/dataPlace.js";
import { plural } from "../job/plural.js";
import { ConfigError, FailureError, UnreadableError, WireError } from "../job/problem.js";
import { shell } from "../job/shell.js";
import type { Store } from "../store/store.js";
import type { ExampleEntry } from "./dataIndex.js";
import { checkFollows, classOf, decodePage, pageBytesMax, type ListedFile } from "./dataPages.js";
import { readDataSet, type DataSet } from "./dataSet.js";
import type { Listing } from "./folder.js";
import type { PictureSource } from "./pictureSource.js";

/** Bytes by their SHA-256. FailureError: they are not there, over `bytesMax`, or damaged. */
export interface Blobs {
  read(sha256: string, bytesMax: number): Promise<Uint8Array>;
}

/** What reads data sets: the store, and its blobs by way of the machine's cache. */
export interface StoredData {
  readonly store: Store;
  readonly blobs: Blobs;
}

/** The pictures of a data set that was pushed. */
export class StoredSource implements PictureSource {
  readonly #name: string;
  readonly #stored: StoredData;
  #files: Promise<ReadonlyMap<string, ListedFile>> | undefined;

  constructor(name: string, stored: StoredData) {
    this.#name = name;
    this.#stored = stored;
  }

  pathOf(file: string): string {
    return `${placeOf(this.#name)}/${file}`;
  }

  async list(): Promise<Listing> {
    const { ignoredFiles } = await this.#set();
    const files = [...(await this.#listed()).keys()];
    const classes = [...new Set(files.map(classOf))];
    // What they were `data push` has told.
    const leftOut = ignoredFiles === 0 ? [] : [{ kind: "other files", files: ignoredFiles }];
    return { root: placeOf(this.#name), classes, files, leftOut };
  }

  async sizeOf(file: string): Promise<number> {
    return (await this.#listed()).get(file)?.bytes ?? 0;
  }

  async read(file: string): Promise<Uint8Array> {
    const found = (await this.#listed()).get(file);
    if (found === undefined) throw new ConfigError(`${this.pathOf(file)} is not there any more`);
    return this.#stored.blobs.read(found.sha256, found.bytes);
  }

  async difference({ file, sha256 }: ExampleEntry): Promise<string | undefined> {
    const found = (await this.#listed()).get(file);
    if (found?.sha256 === sha256) return undefined;
    const how = found === undefined ? "is not there any more" : "is another picture now";
    return `${this.pathOf(file)} ${how}: the data set was removed since the job was submitted`;
  }

  async reread({ file, sha256, bytes }: ExampleEntry): Promise<Uint8Array> {
    try {
      return await this.#stored.blobs.read(sha256, bytes);
    } catch (error) {
      if (!(error instanceof FailureError)) throw error;
      const { message } = error;
      throw new UnreadableError(`the picture ${this.pathOf(file)} cannot be read: ${message}`, {
        cause: error,
      });
    }
  }

  async #set(): Promise<DataSet> {
    const set = await readDataSet(this.#stored.store, this.#name);
    if (set !== undefined) return set;
    throw new ConfigError(
      `there is no data set ${this.#name} in the store: ${shell`bitfleet data push FOLDER ${this.#name}`} makes it`,
    );
  }

  #listed(): Promise<ReadonlyMap<string, ListedFile>> {
    return (this.#files ??= this.#read());
  }

  async #read(): Promise<ReadonlyMap<string, ListedFile>> {
    const { pages, pictures } = await this.#set();
    const files = new Map<string, ListedFile>();
    for await (const file of listedFiles(this.#stored.blobs, pages)) files.set(file.file, file);
    if (files.size === pictures) return files;
    throw new FailureError(
      `the data set ${this.#name} lists ${plural(files.size, "picture")}, and should have ${pictures}`,
    );
  }
}

/** All pictures of a data set in order. FailureError: a page is gone, damaged or none. */
export async function* listedFiles(
  blobs: Blobs,
  pages: readonly string[],
): AsyncGenerator<ListedFile> {
  let last: ListedFile | undefined;
  for (const sha256 of pages) {
    const encoded = await blobs.read(sha256, pageBytesMax);
    for (const file of orFailure(() => decodePage(encoded))) {
      orFailure(() => checkFollows(last, file));
      last = file;
      yield file;
    }
  }
}

function orFailure<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof WireError ? new FailureError(error.message, { cause: error }) : error;
  }
}
