import { isWellFormed, quote } from "../job/cutText.js";
import { WireError } from "../job/problem.js";
import { isSha256 } from "./blobs.js";
import { fileBytesMax, isPictureName } from "./pictureBounds.js";

/**
 * The list of a data set's pictures is cut into pages, each a blob of the store. A page is JSON, a picture a line, in the one
 * spelling that its hash is taken of.
 */

/** A picture of a data set. */
export interface ListedFile {
  /** CLASS/NAME, or deeper; parts separated by `/`. */
  readonly file: string;
  /** Of its bytes, in hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
}

export const picturesMax = 3_000_000;
export const pagesMax = 512;
export const pageBytesMax = 4 * 2 ** 20;
const pageFilesMax = 10_000;
const fileLengthMax = 4096;
const partLengthMax = 255;
const partsMax = 17;

/** Pages in order; `files` are sorted by `compareFiles`. */
export function encodePages(files: readonly ListedFile[]): readonly Uint8Array[] {
  const pages: Uint8Array[] = [];
  let rows: string[] = [];
  let length = 0;
  const end = (): void => {
    if (rows.length > 0) pages.push(new TextEncoder().encode(`[\n${rows.join(",\n")}\n]\n`));
    rows = [];
    length = 0;
  };
  for (const file of files) {
    const row = rowOf(file);
    // A UTF-16 unit has at most three bytes.
    if (rows.length === pageFilesMax || length + 3 * row.length + 8 > pageBytesMax) end();
    rows.push(row);
    length += 3 * row.length + 2;
  }
  end();
  return pages;
}

/** WireError: it is no page, in another spelling, out of order, or names what no data set may. */
export function decodePage(encoded: Uint8Array): readonly ListedFile[] {
  check(encoded.length <= pageBytesMax, `it has ${encoded.length} bytes, ${pageBytesMax} allowed`);
  const value = parsed(encoded);
  check(Array.isArray(value), "it is no list");
  check(value.length > 0 && value.length <= pageFilesMax, `it has ${value.length} pictures`);
  const files = value.map(fileOf);
  // Whatever was added or misspelt: the right spelling of what was read differs.
  const right = Buffer.from(`[\n${files.map(rowOf).join(",\n")}\n]\n`);
  check(right.equals(encoded), "it is not in the one spelling of a page");
  for (const [i, file] of files.entries()) checkFollows(files[i - 1], file);
  return files;
}

/** Throws WireError unless `file` comes after `last` in a data set. */
export function checkFollows(last: ListedFile | undefined, { file }: ListedFile): void {
  check(last === undefined || compareFiles(last.file, file) < 0, `${quoted(file)} is out of order`);
}

/** By class and then by name, both by code unit: the order of a folder's pictures. */
export function compareFiles(a: string, b: string): number {
  const [classA, classB] = [classOf(a), classOf(b)];
  if (classA !== classB) return classA < classB ? -1 : 1;
  return a === b ? 0 : a < b ? -1 : 1;
}

export function classOf(file: string): string {
  return file.slice(0, file.indexOf("/"));
}

/** Why a data set may hold no file of this name; undefined: it may. */
export function refusalOfFile(file: string): string | undefined {
  if (file.length > fileLengthMax) return `its name has more than ${fileLengthMax} characters`;
  const parts = file.split("/");
  if (parts.length < 2) return "it is in no class folder";
  if (parts.length > partsMax) return `it lies more than ${partsMax - 1} folders deep`;
  if (parts.some((part) => part.length > partLengthMax))
    return `a part of its name has more than ${partLengthMax} characters`;
  if (parts.some((part) => part === "" || part.startsWith(".")))
    return "a part of its name is empty or starts with a dot";

  if (/[\u0000-\u001f\u007f-\u009f\\]/.test(file))
    return "its name has a backslash or a control character";
  if (!isWellFormed(file)) return "its name has half a character in it";
  if (!isPictureName(file)) return "its extension is no picture's";
  return undefined;
}

function rowOf({ file, sha256, bytes }: ListedFile): string {
  return JSON.stringify([file, sha256, bytes]);
}

function fileOf(row: unknown): ListedFile {
  const parts: readonly unknown[] = Array.isArray(row) ? row : [];
  check(parts.length === 3, "a row of it does not have 3 parts");
  const [file, sha256, bytes] = parts;
  check(typeof file === "string", "a row of it names no file");
  const refusal = refusalOfFile(file);
  check(refusal === undefined, `${quoted(file)}: ${refusal}`);
  check(isSha256(sha256), `${quoted(file)} has no SHA-256`);
  check(
    typeof bytes === "number" && Number.isInteger(bytes) && bytes >= 1 && bytes <= fileBytesMax,
    `${quoted(file)} does not have from 1 to ${fileBytesMax} bytes`,
  );
  return { file, sha256, bytes };
}

function parsed(encoded: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(encoded));
    return value;
  } catch (error) {
    throw new WireError("the page of a data set is not JSON", { cause: error });
  }
}

function quoted(file: string): string {
  return quote(file, 100);
}

function check(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new WireError(`the page of a data set cannot be used: ${reason}`);
}
