import { createHash } from "node:crypto";
import type { DataSummary } from "../job/decisions.js";
import { dataSetAt, isDataName } from "../job/dataPlace.js";
import { isLeftOut, type LeftOut } from "../job/leftOut.js";
import { classesMax, classNameMax, examplesMax } from "../job/limits.js";
import { assert, WireError } from "../job/problem.js";

/** One picture, as it was when the job was submitted. */
export interface ExampleEntry {
  /** Below the root, parts separated by `/`. */
  readonly file: string;
  /** Position in `classes`. */
  readonly label: number;
  /** Pixels, upright. */
  readonly width: number;
  readonly height: number;
  /** Of the file's bytes, in hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
}

/**
 * All that a job knows of its data, made once at submit: a position in `training` is an example's
 * number for the sampler, so nothing is ever added, skipped or reordered later.
 */
export interface DataIndex {
  readonly classes: readonly string[];
  readonly training: readonly ExampleEntry[];
  readonly validation: readonly ExampleEntry[];
  /** Absolute paths on the workers, or `store:NAME`. */
  readonly trainingRoot: string;
  readonly validationRoot: string;
  /** Lower medians over `training`, in pixels. */
  readonly medianWidth: number;
  readonly medianHeight: number;
  /** Files of the folders that are not among the examples. */
  readonly leftOut: readonly LeftOut[];
  /** SHA-256 of `encodeIndex`, in hexadecimal. */
  readonly digest: string;
}

const version = 1;
export const encodedBytesMax = 500_000_000; // JavaScript strings end at 536 million characters.
const pathLengthMax = 4096;
const sideMax = 65_535;

/** Fills in the medians and the digest. */
export function sealIndex(
  parts: Omit<DataIndex, "medianWidth" | "medianHeight" | "digest">,
): DataIndex {
  const medianWidth = lowerMedian(parts.training.map(({ width }) => width));
  const medianHeight = lowerMedian(parts.training.map(({ height }) => height));
  const index = { ...parts, medianWidth, medianHeight };
  return { ...index, digest: digestOf(encodeIndex(index)) };
}

export function summarize(index: DataIndex): DataSummary {
  const { classes, medianWidth, medianHeight, leftOut, digest } = index;
  const counts = (entries: readonly ExampleEntry[]): readonly number[] => {
    const perClass = new Array<number>(classes.length).fill(0);
    for (const { label } of entries) perClass[label] = (perClass[label] ?? 0) + 1;
    return perClass;
  };
  return {
    classes,
    trainingCounts: counts(index.training),
    validationCounts: counts(index.validation),
    medianWidth,
    medianHeight,
    leftOut,
    digest,
  };
}

/**
 * The index as JSON, an example a line, in the one spelling that its digest is taken of. The digest
 * itself is not in it.
 */
export function encodeIndex(index: Omit<DataIndex, "digest">): Uint8Array {
  const head = {
    version,
    classes: index.classes,
    trainingRoot: index.trainingRoot,
    validationRoot: index.validationRoot,
    medianWidth: index.medianWidth,
    medianHeight: index.medianHeight,
    leftOut: index.leftOut,
  };
  const text =
    `${JSON.stringify(head).slice(0, -1)},\n"training":[\n${rows(index.training)}\n],` +
    `\n"validation":[\n${rows(index.validation)}\n]}\n`;
  return new TextEncoder().encode(text);
}

/** Reads what `encodeIndex` wrote. Throws WireError when it is not that, or not of this digest. */
export function decodeIndex(encoded: Uint8Array, digest: string): DataIndex {
  check(encoded.length <= encodedBytesMax, `${encoded.length} bytes of ${encodedBytesMax}`);
  check(digestOf(encoded) === digest, `its digest is not ${digest}`);
  const value = fields(parsed(encoded));
  check(value.get("version") === version, `its version is not ${version}`);
  const classes = list(value.get("classes"), classesMax, "classes").map(className);
  check(classes.length >= 2, `${classes.length} classes of at least 2`);
  check(
    classes.every((name, i) => i === 0 || (classes[i - 1] ?? "") < name),
    "its classes are not in order",
  );
  const leftOut = value.get("leftOut");
  check(isLeftOut(leftOut), "it does not say what was left out");
  const training = examples(value.get("training"), classes.length, "training");
  check(training.length > 0, "it has no training examples");
  return {
    classes,
    training,
    validation: examples(value.get("validation"), classes.length, "validation"),
    trainingRoot: root(value.get("trainingRoot")),
    validationRoot: root(value.get("validationRoot")),
    medianWidth: integer(value.get("medianWidth"), 1, sideMax, "medianWidth"),
    medianHeight: integer(value.get("medianHeight"), 1, sideMax, "medianHeight"),
    leftOut,
    digest,
  };
}

function lowerMedian(values: readonly number[]): number {
  const median = values.toSorted((a, b) => a - b)[(values.length - 1) >> 1];
  assert(median !== undefined, "an index has no training examples");
  return median;
}

function digestOf(encoded: Uint8Array): string {
  return createHash("sha256").update(encoded).digest("hex");
}

function rows(entries: readonly ExampleEntry[]): string {
  return entries
    .map(({ file, label, width, height, sha256, bytes }) =>
      JSON.stringify([file, label, width, height, sha256, bytes]),
    )
    .join(",\n");
}

function parsed(encoded: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(encoded));
    return value;
  } catch (error) {
    throw new WireError("the data index is not JSON", { cause: error });
  }
}

/** A Map has no prototype that a field called `__proto__` could reach. */
function fields(value: unknown): ReadonlyMap<string, unknown> {
  check(typeof value === "object" && value !== null && !Array.isArray(value), "it is no object");
  return new Map(Object.entries(value));
}

function list(value: unknown, lengthMax: number, name: string): readonly unknown[] {
  check(Array.isArray(value), `${name} is no list`);
  check(value.length <= lengthMax, `${value.length} ${name} of ${lengthMax}`);
  return value;
}

function examples(value: unknown, classes: number, name: string): readonly ExampleEntry[] {
  return list(value, examplesMax, name).map((row, i) => {
    const where = `${name}[${i}]`;
    const [file, label, width, height, sha256, bytes, ...rest] = list(row, 6, where);
    check(rest.length === 0 && bytes !== undefined, `${where} does not have 6 parts`);
    check(typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256), `${where} has no checksum`);
    return {
      file: relativePath(file, where),
      label: integer(label, 0, classes - 1, `the label of ${where}`),
      width: integer(width, 1, sideMax, `the width of ${where}`),
      height: integer(height, 1, sideMax, `the height of ${where}`),
      sha256,
      bytes: integer(bytes, 1, Number.MAX_SAFE_INTEGER, `the size of ${where}`),
    };
  });
}

function className(value: unknown): string {
  check(typeof value === "string" && value.length <= classNameMax, "a class has no name");
  check(isPathPart(value), `the class name ${JSON.stringify(value)} is no folder name`);
  return value;
}

function relativePath(value: unknown, where: string): string {
  check(typeof value === "string" && value.length <= pathLengthMax, `${where} names no file`);
  check(value.split("/").every(isPathPart), `${where} names a file outside the data`);
  return value;
}

function isPathPart(part: string): boolean {
  return part !== "" && !part.startsWith(".") && !/[/\0]/.test(part);
}

function root(value: unknown): string {
  check(
    typeof value === "string" &&
      value.length <= pathLengthMax &&
      (value.startsWith("/") || isDataName(dataSetAt(value) ?? "")),
    "a root is no absolute path and no data set",
  );
  check(!value.includes("\0"), "a root has a zero byte in it");
  return value;
}

function integer(value: unknown, min: number, max: number, name: string): number {
  check(Number.isSafeInteger(value) && typeof value === "number", `${name} is no whole number`);
  check(value >= min && value <= max, `${name} is ${value}, not from ${min} to ${max}`);
  return value;
}

function check(condition: boolean, reason: string): asserts condition {
  if (!condition) throw new WireError(`the data index cannot be used: ${reason}`);
}
