import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { decodeLine, encodeLine, termOf } from "../../coordinator/logLine.js";
import { decodeSummary } from "../../coordinator/data.js";
import { decodeIndex, encodeIndex, sealIndex } from "../../src/data/dataIndex.js";
import { decodeManifest, encodeManifest } from "../../src/store/manifest.js";
import { jobRecord } from "../../src/wire/jobRecord.js";
import { jobRecordOf } from "../contract/jobRecordOf.js";
import { hold, Refusal, type Kind } from "./kind.js";
import { chance, mutate } from "./mutate.js";
import { mutateJson } from "./mutateJson.js";
import { spoiltJson } from "./wireKinds.js";

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

const record = {
  ...jobRecordOf("digits", 12),
  trial: { step: 12, generation: 2, doubted: 1 },
  pin: { numerics: "cpu avx2", probe: "ab12" },
  members: ["worker-1", "worker-2"],
  checkpoints: [{ step: 10, attempt: 1 }],
  evaluations: [{ step: 10, correct: 3, total: 9, loss: Infinity }],
  trail: [{ step: 11, loss: 0.5, sumChecksum: 7 }],
  weights: { parameterDigest: "ab" },
};

export const recordKind: Kind = {
  name: "job-record",
  stages: [
    { name: "length", refusal: /^a record of \d+ bytes$/ },
    { name: "utf-8", refusal: /is no UTF-8$/ },
    { name: "json", refusal: /^a record that are no JSON$/ },
    { name: "object", refusal: /^record is no object$/ },
    { name: "version", refusal: /^(version|a record of version) / },
    { name: "settings", refusal: /^settings/ },
    { name: "fields", refusal: /./s },
  ],
  open: async () => ({
    feed: (random) => {
      const json = text(jobRecord.encode(record));
      const bytes = chance(random, 0.01)
        ? Buffer.alloc(1_000_001 + random.below(10), 0x20)
        : chance(random, 0.15)
          ? mutate(random, Buffer.from(json))
          : Buffer.from(spoiltJson(random, json));
      const read = jobRecord.decode(bytes);
      const again = jobRecord.decode(jobRecord.encode(read));
      hold(isDeepStrictEqual(again, read), "a record is read otherwise the second time");
      hold(!("polluted" in read) && !("polluted" in read.plan), "a foreign field was taken over");
    },
  }),
};

const manifest = {
  name: "jobs/digits/checkpoint-00000010.safetensors",
  ...{ job: "digits", attempt: 1, step: 10, term: 3, model: "R50x1", classes: 5 },
  ...{ layoutDigest: "ab".repeat(32), parameterDigest: "cd".repeat(32), sha256: "ef".repeat(32) },
  bytes: 94_000_000,
};

export const manifestKind: Kind = {
  name: "manifest",
  stages: [
    { name: "json", refusal: /is not JSON$/ },
    { name: "format", refusal: /is not of format / },
    { name: "digest and fields", refusal: /is damaged$/ },
  ],
  open: async () => ({
    feed: (random) => {
      const json = text(encodeManifest(manifest));
      let spoilt = chance(random, 0.6)
        ? Buffer.from(mutateJson(random, json))
        : mutate(random, Buffer.from(json));
      if (chance(random, 0.6)) spoilt = resigned(spoilt);
      const read = decodeManifest(spoilt);
      if (typeof read === "string") throw new Refusal(read);
      hold(Buffer.from(encodeManifest(read)).equals(spoilt), "a manifest is not its own spelling");
    },
  }),
};

/** With the digest and the spelling that its fields would have, where it is an object at all. */
function resigned(bytes: Buffer): Buffer {
  // More is not read from a store; lists in lists, indented, would become two hundred megabytes.
  if (bytes.length > 64 * 1024) return bytes;
  try {
    const body = JSON.parse(bytes.toString()) as Record<string, unknown>;
    delete body["self"];
    const self = createHash("sha256").update(JSON.stringify(body)).digest("hex");
    return Buffer.from(`${JSON.stringify({ ...body, self }, undefined, 1)}\n`);
  } catch {
    return bytes;
  }
}

const entry = (file: string, label: number) => ({
  ...{ file, label, width: 24, height: 20, sha256: "ab".repeat(32), bytes: 900 },
});
const index = sealIndex({
  classes: ["five", "six ünï"],
  training: [entry("five/1.png", 0), entry("six ünï/2.png", 1), entry("six ünï/deep/3.png", 1)],
  validation: [entry("five/4.png", 0)],
  trainingRoot: "/data/digits",
  validationRoot: "/data/digits",
  leftOut: [{ kind: ".tif", files: 2 }],
});

export const indexKind: Kind = {
  name: "data-index",
  stages: [
    { name: "digest", refusal: /its digest is not/ },
    { name: "json", refusal: /the data index is not JSON/ },
    { name: "object and version", refusal: /it is no object|its version is not/ },
    { name: "classes", refusal: /classes|class name|a class has/ },
    { name: "examples", refusal: /training|validation/ },
    { name: "roots and sizes", refusal: /./s },
  ],
  open: async () => ({
    feed: (random) => {
      const json = text(encodeIndex(index));
      const spoilt = chance(random, 0.7)
        ? Buffer.from(mutateJson(random, json))
        : mutate(random, Buffer.from(json));
      const digest = createHash("sha256").update(spoilt).digest("hex");
      const read = decodeIndex(spoilt, chance(random, 0.9) ? digest : index.digest);
      for (const { file, label } of [...read.training, ...read.validation]) {
        hold(!file.startsWith("/") && !file.split("/").includes(".."), `${file} leads out`);
        hold(read.classes[label] !== undefined, `label ${label} has no class`);
      }
    },
  }),
};

const summary = JSON.stringify({
  ...{ classes: ["five", "six"], trainingCounts: [1, 2], validationCounts: [1, 0] },
  ...{
    medianWidth: 24,
    medianHeight: 20,
    leftOut: [{ kind: ".tif", files: 2 }],
    digest: "ab".repeat(32),
  },
});

export const summaryKind: Kind = {
  name: "data-summary",
  stages: [
    { name: "json", refusal: /is not JSON$/ },
    { name: "object", refusal: /it is no object$/ },
    { name: "classes", refusal: /its classes$/ },
    { name: "counts", refusal: /its (training|validation)Counts$/ },
    { name: "medians", refusal: /its median/ },
    { name: "left out", refusal: /its files that were left out$/ },
    { name: "digest", refusal: /its digest$/ },
  ],
  open: async () => ({
    feed: (random) => {
      const { classes, trainingCounts } = decodeSummary(spoiltJson(random, summary));
      hold(classes.length === trainingCounts.length, "counts of other classes");
    },
  }),
};

const stored = encodeLine(7, 2, {
  ...{ timeMs: 5, level: "warn", message: "langsam", fields: { step: 3, worker: "worker-1" } },
});

export const lineKind: Kind = {
  name: "log-line",
  stages: [{ name: "line", refusal: /^no line$/ }],
  open: async () => ({
    feed: (random) => {
      const bytes = Buffer.from(spoiltJson(random, text(stored)), "latin1");
      hold(Number.isFinite(termOf(bytes)) || termOf(bytes) > 0, "a term that is no number");
      const line = decodeLine(bytes);
      if (line === undefined) throw new Refusal("no line");
      hold(Object.getPrototypeOf(line) === Object.prototype, "a line has another prototype");
    },
  }),
};
