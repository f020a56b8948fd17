import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bitfleet } from "#proto";
import { ConfigError, WireError } from "../../src/job/problem.js";
import { protoField, settingNames, settingOf } from "../../src/job/settings.js";
import { Random } from "../../src/plan/random.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { messageBytesMax, type Codec } from "../../src/wire/codec.js";
import type { LogLine, Preview, WorkerStatus } from "../../src/wire/training.js";
import * as data from "../../src/wire/dataCodecs.js";
import * as codecs from "../../src/wire/trainingCodecs.js";
import { jobStatus, settings } from "../contract/grpcFixture.js";

const { v1 } = bitfleet;

const line: LogLine = {
  sequence: 7,
  timeMs: 1_700_000_000_000.5,
  level: "warn",
  message: "langsam",
  fields: { step: 3, worker: "worker-1", last: true },
  event: "evaluation",
};

const worker: WorkerStatus = {
  id: "worker-1",
  incarnation: "a1-b2",
  host: "host",
  device: "CPU, 2 cores",
  state: "spare",
  reason: "another CPU",
  job: "",
  phase: "idle",
  numerics: "cpu avx2",
  imagesPerSecond: 12.5,
  residentBytes: 5e9,
  lastBeatAgeMs: 250,
};

const preview: Preview = {
  settings,
  lines: ["Job  digits", "Model  R50x1"],
  classes: ["fünf", "__proto__"],
  trainingExamples: 50,
  validationExamples: 100,
  indexDigest: "ab".repeat(32),
};

describe("settings", () => {
  test("every setting of the table is a field of JobSettings in proto/, of its kind", () => {
    const file = join(packageRoot(), "proto", "bitfleet", "v1", "training.proto");
    const body = /message JobSettings \{(.*?)\n\}/s.exec(readFileSync(file, "utf8"))?.[1] ?? "";
    const fields = new Map(
      [...body.matchAll(/^\s+(?:(?:optional|repeated) )?(\w+) (\w+) = \d+;/gm)].map((found) => [
        found[2],
        found[1],
      ]),
    );
    const kinds = {
      text: "string",
      choice: "string",
      switch: "bool",
      whole: "uint32",
      number: "double",
      fractions: "double",
    };
    const expected = settingNames.map((name) => {
      const setting = settingOf(name);
      const isSigned = setting.kind === "whole" && setting.min < 0;
      return [protoField(name), isSigned ? "sint32" : kinds[setting.kind]];
    });
    expect([...fields].toSorted()).toEqual(expected.toSorted());
  });

  test("what is not given stays open, and a given 0 or false stays given", () => {
    const request = { name: "a", model: "R50x1", data: "/d", steps: 0, mixup: 0, noFlip: false };
    const sent = { settings: request, requestId: "r-1" };
    expect(codecs.submitRequest.decode(codecs.submitRequest.encode(sent))).toEqual(sent);
  });

  test.each([
    [{ name: "A b" }, /^name is "A b", not a DNS label/],
    [{ model: "R51x1" }, /R51x1.*R50x1/],
    [{ batch: 0 }, /^batch is 0, not a whole number/],
    [{ rate: NaN }, /^rate is NaN, not a number/],
    [{ drops: [0.6, 0.3] }, /^drops is "0.6,0.3"/],
    [{ data: "" }, /^data is not given: --data FOLDER$/],
    [{ data: "/d\u001b[2J" }, /^data is/],
  ])("a request with %j is refused with its sentence", (changes, sentence) => {
    const whole = { name: "a", model: "R50x1", data: "/d", ...changes };
    const bytes = v1.SubmitRequest.encode({ settings: whole, requestId: "r" }).finish();
    expect(() => codecs.submitRequest.decode(bytes)).toThrow(ConfigError);
    expect(() => codecs.submitRequest.decode(bytes)).toThrow(sentence);
  });
});

describe("messages for clients", () => {
  test("each is read as it was written", () => {
    const { jobStatus: status, logLine, workerList, previewUpdate, chunk } = codecs;
    const { predictReply, predictPart, logsRequest } = codecs;
    const bare = jobStatus({ loss: undefined, evaluations: [], classes: [], secondsLeft: -1 });
    const diverged = jobStatus({ loss: NaN });
    for (const value of [jobStatus(), bare, diverged]) {
      expect(status.decode(status.encode(value))).toEqual(value);
    }
    expect(logLine.decode(logLine.encode(line))).toEqual(line);
    expect(workerList.decode(workerList.encode([worker, worker]))).toEqual([worker, worker]);
    const last = { picturesRead: 60, pictures: 60, preview };
    expect(previewUpdate.decode(previewUpdate.encode(last))).toEqual(last);
    const first = { picturesRead: 3, pictures: 0, preview: undefined };
    expect(previewUpdate.decode(previewUpdate.encode(first))).toEqual(first);
    const request = { name: "digits", afterSequence: 9, follow: true };
    expect(logsRequest.decode(logsRequest.encode(request))).toEqual(request);
    const piece = { data: Buffer.from([1, 2]), totalBytes: 94e9 };
    expect(chunk.decode(chunk.encode(piece))).toEqual(piece);
    const part = { job: "", picture: "a b.png", data: Buffer.alloc(0) };
    expect(predictPart.decode(predictPart.encode(part))).toEqual(part);
    const reply = [
      { picture: "a", scores: [{ className: "five", probability: 0.5 }] },
      { picture: "b", scores: [], problem: "the picture b cannot be read" },
    ];
    expect(predictReply.decode(predictReply.encode(reply))).toEqual(reply);
  });

  test("each about pushed data is read as it was written", () => {
    const sha256 = "0a".repeat(32);
    const set = { name: "digits", classes: 2, pictures: 3, bytes: 5e12, ignoredFiles: 1 };
    const same = <T>(of: Codec<T>, value: T): void => {
      expect(of.decode(of.encode(value))).toEqual(value);
    };
    same(data.blobHashes, [sha256, "ff".repeat(32)]);
    same(data.blobPart, { sha256, bytes: 7, data: Buffer.from([1, 2]) });
    same(data.blobPart, { sha256: "", bytes: 0, data: Buffer.from([3]) });
    same(data.pushReply, 5);
    same(data.dataCommit, { name: "digits", pages: [sha256], ignoredFiles: 2 });
    same(data.dataCommitted, { missing: 3, set: undefined });
    same(data.dataCommitted, { missing: 0, set });
    same(data.dataList, [set, { ...set, name: "other" }]);
    same(data.dataName, "digits");
    same(data.dataRemoved, 9);
  });

  test.each<readonly [string, () => unknown]>([
    ["half a hash", () => data.blobHashes.decode(data.blobHashes.encodeUnchecked(["0a"]))],
    [
      "too many hashes",
      () => {
        const hashes = new Array<string>(4097).fill("0a".repeat(32));
        return data.blobHashes.decode(data.blobHashes.encodeUnchecked(hashes));
      },
    ],
    [
      "a part that is too long",
      () => {
        const part = { sha256: "", bytes: 0, data: new Uint8Array(2 ** 20 + 1) };
        return data.blobPart.decode(data.blobPart.encodeUnchecked(part));
      },
    ],
    ["a name that is a path", () => data.dataName.decode(data.dataName.encodeUnchecked("../a"))],
  ])("%s is refused", (_, decode) => {
    expect(decode).toThrow(WireError);
  });

  test("the list of jobs is the newest two thousand, without what would make it long", () => {
    const evaluations = [1, 2, 3].map((step) => ({ step, correct: 1, total: 2, loss: 0.5 }));
    const jobs = Array.from({ length: 2_001 }, (_, i) => jobStatus({ name: `j${i}`, evaluations }));
    const read = codecs.jobList.decode(codecs.jobList.encode(jobs));
    expect(read).toHaveLength(2_000);
    expect(read[0]?.name).toBe("j1");
    expect(read[0]?.classes).toEqual([]);
    expect(read[0]?.evaluations).toEqual(evaluations.slice(-1));
  });

  test("a list of jobs with settings as long as may be is the newest that fit into one message", () => {
    const long = { ...settings, data: "数".repeat(4096), validation: "数".repeat(4096) };
    const jobs = Array.from({ length: 500 }, (_, i) =>
      jobStatus({ name: `j${i}`, settings: long }),
    );
    const bytes = codecs.jobList.encode(jobs);
    expect(bytes.length).toBeLessThanOrEqual(messageBytesMax);
    const read = codecs.jobList.decode(bytes);
    expect(read.length).toBeGreaterThan(150);
    expect(read.map(({ name }) => name)).toEqual(jobs.slice(-read.length).map(({ name }) => name));
  });

  test("ten thousand workers with the longest words fit into one list", () => {
    const words = {
      reason: "数".repeat(4096),
      numerics: "数".repeat(1024),
      phase: "数".repeat(256),
    };
    const names = { incarnation: "i".repeat(128), host: "h".repeat(255), device: "d".repeat(255) };
    const workers = Array.from({ length: 10_000 }, (_, i) => ({
      ...{ ...worker, ...words, ...names, job: "j".repeat(63) },
      id: String(i).padStart(63, "w"),
    }));
    const bytes = codecs.workerList.encode(workers);
    expect(bytes.length).toBeLessThanOrEqual(messageBytesMax);
    expect(codecs.workerList.decode(bytes)).toHaveLength(10_000);
    // Few have room for theirs.
    const [first] = codecs.workerList.decode(codecs.workerList.encode(workers.slice(0, 10)));
    expect(first?.reason).toMatch(/^数{1000,}…$/);
    expect(first).toMatchObject(names);
  });

  test("a list of jobs is read without that too, whoever has written it", () => {
    const evaluations = [1, 2].map((step) => ({ step, correct: 1, total: 2, loss: 0.5 }));
    const status = codecs.jobStatus.encode(jobStatus({ evaluations, classes: ["five"] }));
    const head = Buffer.from([0x0a, 0x80 | (status.length & 0x7f), status.length >> 7]);
    expect(codecs.jobList.decode(Buffer.concat([head, status]))).toEqual([
      jobStatus({ evaluations: evaluations.slice(-1), classes: [] }),
    ]);
  });

  test("the bytes of a status stay as they are", () => {
    const status = jobStatus({ settings: { ...settings, drops: [] } });
    const bytes = codecs.jobName.encode("digits");
    expect(Buffer.from(bytes).toString("hex")).toBe("0a06646967697473");
    const head = Buffer.from(codecs.jobStatus.encode(status)).subarray(0, 24).toString("hex");
    expect(head).toBe("0a06646967697473" + "1208747261696e696e67" + "200c" + "283c" + "3003");
  });

  test.each<readonly [string, () => unknown]>([
    [
      "a job that is no label",
      () => codecs.jobName.decode(v1.JobName.encode({ name: "../x" }).finish()),
    ],
    ["no job", () => codecs.jobName.decode(new Uint8Array(0))],
    ["an unknown state", () => codecs.jobStatus.decode(status({ state: "sleeping" }))],
    ["a status without settings", () => codecs.jobStatus.decode(status({ settings: null }))],
    ["a speed that is no number", () => codecs.jobStatus.decode(status({ imagesPerSecond: NaN }))],
    ["weights out of the store", () => codecs.jobStatus.decode(status({ weights: "../w" }))],
    [
      "more right than there are",
      () => codecs.jobStatus.decode(status({ evaluations: [{ correct: 3, total: 2 }] })),
    ],
    [
      "a reason that is too long",
      () => codecs.jobStatus.decode(status({ reason: "x".repeat(4097) })),
    ],
    [
      "an unknown state of a worker",
      () =>
        codecs.workerList.decode(
          v1.WorkerList.encode({ workers: [{ id: "w", incarnation: "i", state: "ill" }] }).finish(),
        ),
    ],
    [
      "a part that is too long",
      () =>
        codecs.predictPart.decode(
          v1.PredictPart.encode({ data: new Uint8Array(2 ** 20 + 1) }).finish(),
        ),
    ],
    [
      "a probability above 1",
      () =>
        codecs.predictReply.decode(
          v1.PredictReply.encode({
            predictions: [{ scores: [{ className: "a", probability: 1.1 }] }],
          }).finish(),
        ),
    ],
    [
      "no request id",
      () =>
        codecs.submitRequest.decode(
          v1.SubmitRequest.encode({ settings: { name: "a", model: "R50x1", data: "/d" } }).finish(),
        ),
    ],
    [
      "no settings",
      () => codecs.submitRequest.decode(v1.SubmitRequest.encode({ requestId: "r" }).finish()),
    ],
    [
      "an unknown level",
      () => codecs.logLine.decode(v1.LogLine.encode({ level: "loud" }).finish()),
    ],
  ])("%s is refused", (_, decode) => {
    expect(decode).toThrow(WireError);
  });

  test.each([1, 2, 3])("no bytes do more than be refused (SEED=%i)", (seed) => {
    const random = new Random(seed, 99);
    const all = Object.values(codecs).filter((value) => typeof value === "object");
    for (let i = 0; i < 2_000; i += 1) {
      const bytes = Uint8Array.from({ length: random.below(48) }, () => random.below(256));
      for (const codec of all) {
        try {
          codec.decode(bytes);
        } catch (error) {
          if (!(error instanceof WireError || error instanceof ConfigError)) throw error;
        }
      }
    }
  });
});

function status(changes: bitfleet.v1.JobStatus.$Properties): Uint8Array {
  const whole = v1.JobStatus.decode(codecs.jobStatus.encode(jobStatus()));
  return v1.JobStatus.encode(Object.assign(whole, changes)).finish();
}
