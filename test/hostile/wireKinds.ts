import { crc32 } from "node:zlib";
import { isDeepStrictEqual } from "node:util";
import { type Frame, bytesOf } from "../../src/exchange/content.js";
import type { Random } from "../../src/plan/random.js";
import type { Codec } from "../../src/wire/codec.js";
import { decodeFields, encodeFields } from "../../src/wire/fields.js";
import { decodeFrame, encodeFrame } from "../../src/wire/frame.js";
import type { WorkerStatus } from "../../src/wire/training.js";
import * as data from "../../src/wire/dataCodecs.js";
import * as training from "../../src/wire/trainingCodecs.js";
import { workerCommand } from "../../src/wire/workerCommand.js";
import { workerEvent } from "../../src/wire/workerEvent.js";
import { jobStatus, settings } from "../contract/grpcFixture.js";
import { commands, events } from "../unit/wireValues.js";
import { Finding, hold, type Kind } from "./kind.js";
import { chance, mutate, number, pick, uint32 } from "./mutate.js";
import { mutateJson } from "./mutateJson.js";
import { mutateMessage } from "./mutateMessage.js";

const name = { job: "digits", attempt: 1, step: 7, trial: 0, from: "a1-b2" };
const values = bytesOf(Float32Array.from({ length: 64 }, (_, i) => i / 3));
const frames: readonly Frame[] = [
  { kind: "request", ...name, content: { kind: "node", first: 0, end: 4 }, offset: 0, length: 64 },
  { kind: "request", ...name, content: { kind: "sum" }, offset: 64, length: 128 },
  { kind: "data", ...name, content: { kind: "sum" }, offset: 0, length: 64, bytes: values },
  { kind: "data", ...name, content: { kind: "state" }, offset: 64, length: 64, bytes: values },
];

export const frameKind: Kind = {
  name: "frame",
  stages: [
    { name: "length", refusal: /^a frame of \d+ bytes$/ },
    { name: "version", refusal: /^a frame of another kind or version$/ },
    { name: "checksum", refusal: /^a frame with a wrong checksum$/ },
    { name: "job", refusal: /^job .* in a frame$/s },
    { name: "address", refusal: /^address .* in a frame$/s },
    { name: "content", refusal: /^(content|shards) .* in a frame$/ },
    { name: "values", refusal: /^(a frame of no elements|-?\d+ bytes for|a request with)/ },
  ],
  open: async () => ({
    feed: (random) => {
      const bytes = mutate(
        random,
        encodeFrame(pick(random, frames)),
        encodeFrame(pick(random, frames)),
      );
      if (chance(random, 0.3) && bytes.length > 36)
        bytes.writeUInt32LE(uint32(number(random)), 4 * (2 + random.below(7)));
      if (chance(random, 0.7) && bytes.length >= 40) {
        if (chance(random, 0.9)) bytes.writeUInt32LE(0x01_58_46_42, 0);
        const before = crc32(bytes.subarray(0, 36));
        bytes.writeUInt32LE(crc32(bytes.subarray(40), before), 36);
      }
      const frame = decodeFrame(bytes);
      hold(Buffer.from(encodeFrame(frame)).equals(bytes), "a frame reads as another one");
    },
  }),
};

const messageStages = [
  { name: "protobuf", refusal: /^bytes that are no / },
  {
    name: "which message",
    refusal: /without an? |^no (settings|schedule|source|task|preview)$|^protocol /,
  },
  { name: "fields", refusal: /./s },
];

export const eventKind = messageKind(
  "worker-event",
  events.map((event) => sample(workerEvent, event)),
);

export const commandKind = messageKind(
  "worker-command",
  commands.map((command) => sample(workerCommand, { term: 3, command })),
);

const worker: WorkerStatus = {
  ...{ id: "worker-1", incarnation: "a1-b2", host: "host", device: "CPU" },
  state: "spare",
  ...{ reason: "another CPU", job: "digits", phase: "idle", numerics: "cpu avx2" },
  ...{ imagesPerSecond: 12.5, residentBytes: 5e9, lastBeatAgeMs: 250 },
};
const preview = {
  ...{ settings, lines: ["Job  digits"], classes: ["five", "__proto__"] },
  ...{ trainingExamples: 50, validationExamples: 100, indexDigest: "ab".repeat(32) },
};
const line = {
  sequence: 7,
  timeMs: 5,
  level: "warn",
  message: "langsam",
  fields: { step: 3 },
} as const;

export const trainingKind = messageKind("training-message", [
  sample(training.submitRequest, { settings, requestId: "r-1" }),
  sample(training.jobName, "digits"),
  sample(training.jobStatus, jobStatus()),
  sample(training.jobList, [jobStatus({ classes: [] })]),
  sample(training.logsRequest, { name: "digits", afterSequence: 9, follow: true }),
  sample(training.logLine, line),
  sample(training.workerName, "worker-1"),
  sample(training.workerList, [worker, worker]),
  sample(training.previewUpdate, { picturesRead: 60, pictures: 60, preview }),
  sample(training.chunk, { data: Buffer.from([1, 2]), totalBytes: 94e9 }),
  sample(training.predictPart, { job: "digits", picture: "a b.png", data: Buffer.from([1]) }),
  sample(data.blobHashes, ["0a".repeat(32), "ff".repeat(32)]),
  sample(data.blobPart, { sha256: "0a".repeat(32), bytes: 7, data: Buffer.from([1, 2]) }),
  sample(data.dataCommit, { name: "digits", pages: ["0a".repeat(32)], ignoredFiles: 2 }),
  sample(data.dataName, "digits"),
  sample(training.predictReply, [
    { picture: "a", scores: [{ className: "five", probability: 0.5 }] },
  ]),
]);

interface Sample {
  readonly bytes: Uint8Array;
  /** Throws the refusal, or a Finding where what was read is not what is written again. */
  readonly read: (bytes: Uint8Array) => void;
}

function sample<T>(codec: Codec<T>, value: T): Sample {
  const read = (bytes: Uint8Array): void => {
    const decoded = codec.decode(bytes);
    const again = codec.decode(codec.encode(decoded));
    if (isDeepStrictEqual(again, decoded)) return;
    const shown = (value: T): string => JSON.stringify(value).slice(0, 1000);
    throw new Finding(`${shown(decoded)} is read as ${shown(again)}`);
  };
  return { bytes: codec.encode(value), read };
}

function messageKind(kind: string, samples: readonly Sample[]): Kind {
  return {
    name: kind,
    stages: messageStages,
    open: async () => ({
      feed: (random) => {
        const { bytes, read } = pick(random, samples);
        read(mutateMessage(random, bytes, pick(random, samples).bytes));
      },
    }),
  };
}

export const fieldsKind: Kind = {
  name: "log-fields",
  stages: [
    { name: "length", refusal: /^fields of \d+ characters$/ },
    { name: "json", refusal: /are no JSON$/ },
    { name: "object", refusal: /are no object$/ },
    { name: "count", refusal: /^\d+ fields, / },
    { name: "names", refusal: /^field "/ },
    { name: "values", refusal: /^field \w+ (is no scalar|of \d+ char)/ },
  ],
  open: async () => ({
    feed: (random) => {
      const fields = decodeFields(spoiltJson(random, encodeFields({ step: 3, loss: 0.5, a: "b" })));
      hold(Object.getPrototypeOf(fields) === Object.prototype, "fields have another prototype");
    },
  }),
};

/** Mostly JSON that parses. */
export function spoiltJson(random: Random, json: string): string {
  if (chance(random, 0.02)) return json.repeat(3000);
  if (chance(random, 0.7)) return mutateJson(random, json);
  return mutate(random, Buffer.from(json)).toString("latin1");
}
