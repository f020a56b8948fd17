import { isDataName } from "../job/dataPlace.js";
import { classesMax } from "../job/limits.js";
import { FailureError, WireError } from "../job/problem.js";
import { isSha256 } from "./blobs.js";
import { readWhole } from "../store/readWhole.js";
import type { Store } from "../store/store.js";
import { pagesMax, picturesMax } from "./dataPages.js";

/** A folder of pictures that was pushed, as the file `data/sets/NAME` of the store says: small, and all that makes it one. */
export interface DataSet {
  readonly name: string;
  readonly classes: number;
  readonly pictures: number;
  /** Of all pictures together. */
  readonly bytes: number;
  /** Files of the folder that were left out because their extension is no picture's. */
  readonly ignoredFiles: number;
  /** SHA-256 of the pages that list the pictures, in order. */
  readonly pages: readonly string[];
}

export const setsPrefix = "data/sets/";
/** More are a mistake: each is read for a list of all. */
export const setsMax = 1000;
const format = "bitfleet-data-1";
const setBytesMax = 65_536;
const bytesMax = 2 ** 50;

export function setName(name: string): string {
  return `${setsPrefix}${name}`;
}

/** One spelling for one data set. */
export function encodeDataSet(set: DataSet): Uint8Array {
  const { name, classes, pictures, bytes, ignoredFiles, pages } = set;
  const body = { format, name, classes, pictures, bytes, ignoredFiles, pages };
  return new TextEncoder().encode(`${JSON.stringify(body, undefined, 1)}\n`);
}

/** WireError: it is no data set of this name. */
export function decodeDataSet(encoded: Uint8Array, name: string): DataSet {
  const fields = fieldsOf(encoded);
  check(fields.get("format") === format, name, `its format is not ${format}`);
  const count = (field: string, min: number, max: number): number => {
    const value = fields.get(field);
    const fits = typeof value === "number" && Number.isSafeInteger(value);
    check(fits && value >= min && value <= max, name, `${field} is not from ${min} to ${max}`);
    return value;
  };
  const pages = fields.get("pages");
  check(Array.isArray(pages) && pages.length <= pagesMax, name, `it has no list of pages`);
  check(pages.length > 0 && pages.every(isSha256), name, "a page has no SHA-256");
  const set: DataSet = {
    name,
    classes: count("classes", 1, classesMax),
    pictures: count("pictures", 1, picturesMax),
    bytes: count("bytes", 1, bytesMax),
    ignoredFiles: count("ignoredFiles", 0, Number.MAX_SAFE_INTEGER),
    pages,
  };
  check(isDataName(name), name, "its name is no DNS label");
  check(Buffer.from(encodeDataSet(set)).equals(encoded), name, "it is damaged");
  return set;
}

/** Undefined where there is none. FailureError: the store fails, or what it holds is no data set. */
export async function readDataSet(store: Store, name: string): Promise<DataSet | undefined> {
  if ((await store.stat(setName(name))) === undefined) return undefined;
  const encoded = await readWhole(store, setName(name), setBytesMax);
  try {
    return decodeDataSet(encoded, name);
  } catch (error) {
    throw error instanceof WireError ? new FailureError(error.message, { cause: error }) : error;
  }
}

function fieldsOf(encoded: Uint8Array): ReadonlyMap<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(encoded));
    return new Map(Object.entries(value ?? {}));
  } catch (error) {
    throw new WireError("the file of a data set is not JSON", { cause: error });
  }
}

function check(condition: boolean, name: string, reason: string): asserts condition {
  if (!condition) throw new WireError(`the data set ${name} cannot be used: ${reason}`);
}
