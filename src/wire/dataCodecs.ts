/** The messages of training.proto about pushed data <-> the values of training.ts. */
import { bitfleet } from "#proto";
import { amount, check, codec, count, label, list } from "./codec.js";
import type { BlobPart, DataCommit, DataCommitted, DataSetStatus } from "./training.js";
import { part } from "./trainingCodecs.js";

const { v1 } = bitfleet;

export const hashesMax = 4096;
const pagesMax = 512;
const setsMax = 10_000;
const hashBytes = 32;

export const blobHashes = codec(
  "BlobHashes",
  v1.BlobHashes,
  (hashes: readonly string[]) => ({ sha256: hashes.map(fromHex) }),
  ({ sha256 }) => list(sha256, "hashes", hashesMax, toHex),
);

export const blobPart = codec(
  "BlobPart",
  v1.BlobPart,
  ({ sha256, bytes, data }: BlobPart) => ({ sha256: fromHex(sha256), bytes, data }),
  ({ sha256, bytes, data }): BlobPart => ({
    sha256: sha256.length === 0 ? "" : toHex(sha256),
    bytes: count(bytes, "bytes of a blob"),
    data: part(data),
  }),
);

export const pushReply = codec(
  "PushReply",
  v1.PushReply,
  (blobs: number) => ({ blobs }),
  ({ blobs }) => count(blobs, "blobs"),
);

export const dataCommit = codec(
  "DataCommit",
  v1.DataCommit,
  ({ name, pages, ignoredFiles }: DataCommit) => ({
    ...{ name, ignoredFiles },
    pages: pages.map(fromHex),
  }),
  (message): DataCommit => ({
    name: label(message.name, "data set"),
    pages: list(message.pages, "pages", pagesMax, toHex),
    ignoredFiles: count(message.ignoredFiles, "other files"),
  }),
);

export const dataCommitted = codec(
  "DataCommitted",
  v1.DataCommitted,
  ({ missing, set }: DataCommitted) => ({ missing, set: set ?? null }),
  ({ missing, set }): DataCommitted => ({
    missing: count(missing, "missing blobs"),
    set: set ? dataSet(set) : undefined,
  }),
);

export const dataList = codec(
  "DataList",
  v1.DataList,
  (sets: readonly DataSetStatus[]) => ({ sets: sets.slice(0, setsMax) }),
  ({ sets }) => list(sets, "data sets", setsMax, dataSet),
);

export const dataName = codec(
  "DataName",
  v1.DataName,
  (name: string) => ({ name }),
  ({ name }) => label(name, "data set"),
);

export const dataRemoved = codec(
  "DataRemoved",
  v1.DataRemoved,
  (blobs: number) => ({ blobs }),
  ({ blobs }) => count(blobs, "blobs"),
);

function dataSet(message: bitfleet.v1.DataSet.$Properties): DataSetStatus {
  return {
    name: label(message.name, "data set"),
    classes: count(message.classes, "classes"),
    pictures: count(message.pictures, "pictures"),
    bytes: amount(message.bytes, "bytes", 0, 2 ** 52),
    ignoredFiles: count(message.ignoredFiles, "other files"),
  };
}

function fromHex(sha256: string): Uint8Array {
  return Buffer.from(sha256, "hex");
}

function toHex(bytes: Uint8Array): string {
  check(bytes.length === hashBytes, `a hash of ${bytes.length} bytes`);
  return Buffer.from(bytes).toString("hex");
}
