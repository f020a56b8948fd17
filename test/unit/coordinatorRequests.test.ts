import { afterEach, expect, test, vi } from "vitest";

import { DataReader, decodeSummary } from "../../coordinator/data.js";
import { clearPredictions, predict, type PredictLimits } from "../../coordinator/predictions.js";
import type { Task } from "../../src/control/message.js";
import { queuedRecord, type JobRecord } from "../../src/control/record.js";
import { resultBytesMax } from "../../src/job/limits.js";
import { ConfigError, FailureError, WireError } from "../../src/job/problem.js";
import { planJob } from "../../src/job/plan.js";
import type { JobRequest } from "../../src/job/settings.js";
import type { Store } from "../../src/store/store.js";
import { messageBytesMax } from "../../src/wire/codec.js";
import type { PredictPart } from "../../src/wire/training.js";
import { predictReply } from "../../src/wire/trainingCodecs.js";

afterEach(() => {
  vi.useRealTimers();
});

const digest = "0f".repeat(32);
const summary = {
  ...{ classes: ["a", "b"], trainingCounts: [9, 9], validationCounts: [1, 1] },
  ...{ medianWidth: 32, medianHeight: 32, leftOut: [], digest },
};
const request: JobRequest = { name: "j", model: "R50x1", data: "/data" };
const signal = new AbortController().signal;

/** A store in memory. */
class MemoryStore implements Store {
  readonly files = new Map<string, number>();

  async put(
    name: string,
    chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  ): Promise<{ sha256: string; bytes: number }> {
    let bytes = 0;
    for await (const chunk of chunks) bytes += chunk.length;
    this.files.set(name, bytes);
    return { sha256: "", bytes };
  }

  putNew(name: string, chunks: Iterable<Uint8Array>): Promise<{ sha256: string; bytes: number }> {
    return this.put(name, chunks);
  }

  async *get(name: string): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(this.files.get(name) ?? 0);
  }

  async stat(name: string): Promise<{ bytes: number } | undefined> {
    const bytes = this.files.get(name);
    return bytes === undefined ? undefined : { bytes };
  }

  async list(prefix: string): Promise<string[]> {
    return [...this.files.keys()].filter((name) => name.startsWith(prefix));
  }

  async delete(name: string): Promise<void> {
    this.files.delete(name);
  }
}

test("a summary is taken only whole", () => {
  expect(decodeSummary(JSON.stringify({ ...summary, more: 1 }))).toEqual(summary);
  const broken: readonly unknown[] = [
    null,
    [],
    { ...summary, classes: ["a", 2] },
    { ...summary, trainingCounts: [9] },
    { ...summary, validationCounts: [1, -1] },
    { ...summary, medianWidth: 0 },
    { ...summary, medianHeight: "32" },
    { ...summary, leftOut: 3 },
    { ...summary, leftOut: [{ kind: "\u001b[2J", files: 3 }] },
    { ...summary, digest: "../../etc/passwd" },
  ];
  for (const value of broken) expect(() => decodeSummary(JSON.stringify(value))).toThrow(WireError);
  expect(() => decodeSummary("{")).toThrow(WireError);
});

test("what was read is recalled for ten minutes, for exactly the settings that it depends on", async () => {
  vi.useFakeTimers();
  const store = new MemoryStore();
  let reads = 0;
  const reader = new DataReader(async () => {
    reads += 1;
    store.files.set(`indexes/${digest}.json`, 2);
    return JSON.stringify(summary);
  }, store);
  await reader.read(request, { signal });
  await reader.recall({ ...request, name: "other", rate: 0.1, steps: 7, batch: 64 }, { signal });
  expect(reads).toBe(1);
  const changes: readonly Partial<JobRequest>[] = [
    { data: "/other" },
    { validation: "/validation" },
    { validationFraction: 0.2 },
    { examplesPerClass: 3 },
    { seed: 1 },
    { weights: "/w.npz" },
    { model: "R101x1" },
    { steps: 0 },
  ];
  for (const change of changes) await reader.recall({ ...request, ...change }, { signal });
  expect(reads).toBe(1 + changes.length);
  vi.advanceTimersByTime(10 * 60_000 + 1);
  await reader.recall(request, { signal });
  expect(reads).toBe(2 + changes.length);
  // An index that has gone from the store is of no use, however fresh.
  store.files.clear();
  await reader.recall(request, { signal });
  expect(reads).toBe(3 + changes.length);
});

test("a worker that writes to another store than the coordinator's is found out", async () => {
  const reader = new DataReader(async () => JSON.stringify(summary), new MemoryStore());
  await expect(reader.read(request, { signal })).rejects.toThrow("the same store folder");
});

const plan = planJob({ ...request, steps: 10 }, summary);
const job = { name: "j", requestId: "r", order: 1, plan, indexDigest: digest, createdMs: 5 };
const done: JobRecord = {
  ...queuedRecord(job),
  state: "done",
  weights: { parameterDigest: "d" },
};

const limits: PredictLimits = { pictures: 2, pictureBytes: 10, totalBytes: 15 };

interface Outcome {
  readonly predictions: ReturnType<typeof predict>;
  readonly store: MemoryStore;
  readonly tasks: readonly Task[];
}

function classify(parts: readonly Partial<PredictPart>[], answer: unknown, record = done): Outcome {
  const store = new MemoryStore();
  const tasks: Task[] = [];
  const sent = (async function* (): AsyncGenerator<PredictPart> {
    for (const part of parts) yield { job: "", picture: "", data: new Uint8Array(0), ...part };
  })();
  const runTask = async (task: Task): Promise<string> => {
    tasks.push(task);
    return JSON.stringify(answer);
  };
  const predictions = predict(sent, { store, runTask, record: () => record, signal, limits });
  return { predictions, store, tasks };
}

const bytes = (count: number): Uint8Array => new Uint8Array(count);

test("pictures come in parts, are scored best first under their own names, and leave nothing behind", async () => {
  const { predictions, store, tasks } = classify(
    [
      { job: "j", picture: "../x y.jpg", data: bytes(4) },
      { data: bytes(6) },
      { picture: "b.png", data: bytes(5) },
    ],
    [
      [
        [1, 0.75],
        [0, 0.25],
      ],
      [
        [0, 0.5],
        [1, 0.5],
      ],
    ],
  );
  expect(await predictions).toEqual([
    {
      picture: "../x y.jpg",
      scores: [
        { className: "b", probability: 0.75 },
        { className: "a", probability: 0.25 },
      ],
    },
    expect.objectContaining({ picture: "b.png" }),
  ]);
  expect(tasks).toEqual([
    expect.objectContaining({
      weights: "jobs/j/weights.npz",
      best: 2,
      // Nothing of what the client calls them.
      pictures: [
        expect.stringMatching(/^predict\/[-0-9a-f]{36}\/000$/),
        expect.stringMatching(/^predict\/[-0-9a-f]{36}\/001$/),
      ],
    }),
  ]);
  expect([...store.files.keys()]).toEqual([]);
});

test.each([
  ["no pictures", [{ job: "j" }], "no pictures"],
  ["bytes before a name", [{ job: "j", data: bytes(1) }, { data: bytes(1) }], "before its name"],
  [
    "a picture over the limit",
    [{ job: "j", picture: "a", data: bytes(6) }, { data: bytes(5) }],
    "larger than 10 bytes",
  ],
  [
    "too many bytes",
    [
      { job: "j", picture: "a", data: bytes(8) },
      { picture: "b", data: bytes(8) },
    ],
    "larger than 15 bytes",
  ],
  [
    "too many pictures",
    [{ job: "j", picture: "a" }, { picture: "b" }, { picture: "c" }],
    "more than 2 pictures",
  ],
] as const)("%s is refused, and leaves nothing behind", async (_, parts, sentence) => {
  const { predictions, store, tasks } = classify(parts, []);
  await expect(predictions).rejects.toThrow(sentence);
  await expect(predictions).rejects.toBeInstanceOf(ConfigError);
  expect([tasks, [...store.files.keys()]]).toEqual([[], []]);
});

test("a picture that cannot be read is named as the client does, and the others are answered", async () => {
  const store = new MemoryStore();
  const sent = (async function* (): AsyncGenerator<PredictPart> {
    yield { job: "j", picture: "/me/$& bad.jpg", data: bytes(1) };
    yield { job: "", picture: "good.jpg", data: bytes(1) };
  })();
  const runTask = async (task: Task): Promise<string> => {
    const name = task.kind === "predict" ? task.pictures[0] : "";
    const scores = [
      [1, 0.75],
      [0, 0.25],
    ];
    return JSON.stringify([`the picture ${name} cannot be read: it is a text`, scores]);
  };
  const options = { store, runTask, record: () => done, signal, limits };
  expect(await predict(sent, options)).toEqual([
    {
      picture: "/me/$& bad.jpg",
      scores: [],
      problem: "the picture /me/$& bad.jpg cannot be read: it is a text",
    },
    {
      picture: "good.jpg",
      scores: [expect.objectContaining({ className: "b" }), expect.anything()],
    },
  ]);
});

test("scores that are no probabilities of classes, or too few, are not passed on", async () => {
  const parts = [{ job: "j", picture: "a", data: bytes(1) }];
  const good = [0, 0.5];
  const bad = [[1, 2], [2, 0.5], [1, "x"], [0, 0.5], [1], [1.5, 0.5], [-1, 0.5], 0.5, [1, 0.5, 0]];
  for (const answer of [[[good]], [], "x", ...bad.map((score) => [[good, score]])])
    await expect(classify(parts, answer).predictions).rejects.toBeInstanceOf(WireError);
});

test("a refusal names the picture as the client does", async () => {
  const store = new MemoryStore();
  const sent = (async function* (): AsyncGenerator<PredictPart> {
    yield { job: "j", picture: "/home/me/a b.jpg", data: bytes(1) };
  })();
  const runTask = async (task: Task): Promise<string> => {
    const name = task.kind === "predict" ? task.pictures[0] : "";
    throw new ConfigError(`the picture ${name} cannot be read: it is empty`);
  };
  const refused = predict(sent, { store, runTask, record: () => done, signal, limits });
  await expect(refused).rejects.toThrow(
    new ConfigError("the picture /home/me/a b.jpg cannot be read: it is empty"),
  );
  expect([...store.files.keys()]).toEqual([]);
});

test("what a coordinator that died has left of predictions is cleared, and nothing else", async () => {
  const store = new MemoryStore();
  for (const name of ["predict/x/000", "predict/x/001", "predictions/a", "jobs/j/weights.npz"])
    await store.put(name, [bytes(1)]);
  await clearPredictions(store);
  expect([...store.files.keys()]).toEqual(["predictions/a", "jobs/j/weights.npz"]);
});

test.each([
  ["21,843 classes of ordinary names", 21_843, "ordinary name of a class", 256, 100],
  ["names as long as they may be", 1_000, "数".repeat(255), 256, 16],
  ["few classes", 7, "a", 256, 7],
  ["one picture", 21_843, "数".repeat(255), 1, 100],
])("the reply for %s fits into one message", async (_, count, name, pictures, best) => {
  const classes = Array.from({ length: count }, (_name, i) => name.slice(0, 249) + String(i));
  const record = { ...done, plan: { ...done.plan, classes } };
  const picture = "数".repeat(1024);
  const store = new MemoryStore();
  const sent = (async function* (): AsyncGenerator<PredictPart> {
    for (let i = 0; i < pictures; i += 1) yield { job: "j", picture, data: bytes(1) };
  })();
  const runTask = async (task: Task): Promise<string> => {
    if (task.kind !== "predict") throw new Error("another task");
    expect(task.best).toBe(best);
    const row = Array.from({ length: task.best }, (_score, i) => [count - 1 - i, 1.23456789e-30]);
    const answer = JSON.stringify(task.pictures.map(() => row));
    expect(answer.length).toBeLessThan(resultBytesMax);
    return answer;
  };
  const more = { ...limits, pictures: 256, totalBytes: 1_000 };
  const predictions = await predict(sent, {
    ...{ store, runTask, signal, limits: more },
    record: () => record,
  });
  const reply = predictReply.encode(predictions);
  expect(reply.length).toBeLessThanOrEqual(messageBytesMax);
  expect(predictReply.decode(reply)).toEqual(predictions);
});

test("a job without weights says in which state it is", async () => {
  const { predictions } = classify([{ job: "j", picture: "a" }], [], {
    ...done,
    state: "training",
    weights: undefined,
  });
  await expect(predictions).rejects.toThrow("job j has no weights: it is training");
  await expect(predictions).rejects.toBeInstanceOf(FailureError);
});
