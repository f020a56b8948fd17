import { describe, expect, test } from "vitest";
import { bitfleet } from "#proto";
import type { WorkerCommand, WorkerEvent } from "../../src/control/message.js";
import { resultBytesMax } from "../../src/job/limits.js";
import { WireError } from "../../src/job/problem.js";
import { Random } from "../../src/plan/random.js";
import { messageBytesMax } from "../../src/wire/codec.js";
import { incarnationOf, newSecret } from "../../src/wire/incarnation.js";
import { workerCommand } from "../../src/wire/workerCommand.js";
import { insteadOf, workerEvent } from "../../src/wire/workerEvent.js";
import { commands, events } from "./wireValues.js";

const { FromWorker, ToWorker } = bitfleet.v1;

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** The event of that kind with other fields, as it would come from a peer that does not check. */
function event(kind: WorkerEvent["kind"], changes: object): Uint8Array {
  const found = events.find((candidate) => candidate.kind === kind);
  return workerEvent.encodeUnchecked({ ...found, ...changes } as WorkerEvent);
}

function command(kind: WorkerCommand["kind"], changes: object): Uint8Array {
  const found = commands.find((candidate) => candidate.kind === kind);
  return workerCommand.encodeUnchecked({
    term: 1,
    command: { ...found, ...changes } as WorkerCommand,
  });
}

test("every secret that a worker makes can be said in its hello", () => {
  const hello = events.find(({ kind }) => kind === "hello");
  if (hello?.kind !== "hello") throw new Error("no hello");
  for (let i = 0; i < 1000; i += 1) {
    const secret = newSecret();
    const said = { ...hello, secret, incarnation: incarnationOf(secret) };
    expect(workerEvent.decode(workerEvent.encode(said))).toEqual(said);
  }
});

describe("what a worker says", () => {
  test.each(events.map((value) => [value.kind, value] as const))(
    "%s is read as it was written",
    (_, value) => {
      expect(workerEvent.decode(workerEvent.encode(value))).toEqual(value);
    },
  );

  test("a worker that holds nothing says so", () => {
    const [hello] = events;
    const bare = { ...hello, held: undefined } as WorkerEvent;
    expect(workerEvent.decode(workerEvent.encode(bare))).toEqual(bare);
  });

  test("the bytes of an event stay as they are", () => {
    expect(hex(event("applied", {}))).toBe("32110a0664696769747310011" + "80d2563000000");
    expect(hex(event("released", {}))).toBe("4a080a06646967697473");
    expect(hex(event("leave", {}))).toBe("72090a075349475445524d");
  });

  test.each<readonly [string, Uint8Array]>([
    [
      "another protocol",
      FromWorker.encode({ hello: { workerId: "w", incarnation: "i", protocol: 2 } }).finish(),
    ],
    ["no protocol", FromWorker.encode({ hello: { workerId: "w", incarnation: "i" } }).finish()],
    ["no event", FromWorker.encode({}).finish()],
    ["an empty worker id", event("hello", { workerId: "" })],
    ["a worker id with a blank", event("hello", { workerId: "a b" })],
    ["a worker id that is a path", event("hello", { workerId: "../w" })],
    ["a worker id with a wildcard", event("hello", { workerId: "w.*" })],
    ["a worker id of 129 characters", event("hello", { workerId: "w".repeat(129) })],
    ["another's incarnation", event("hello", { incarnation: "a1b2c3" })],
    ["an incarnation with a line break", event("hello", { incarnation: "a\nb" })],
    ["a device of 256 characters", event("hello", { device: "x".repeat(256) })],
    ["a negative term", event("hello", { term: -1 })],
    ["a term of 2^31", event("hello", { term: 2 ** 31 })],
    ["a beat from the future", event("beat", { natsAgeMs: -2 })],
    ["an infinite memory", event("beat", { residentBytes: Infinity })],
    ["a job that is no DNS label", event("loaded", { job: "Digits" })],
    ["no job", event("loaded", { job: "" })],
    ["a negative step", event("loaded", { step: -1 })],
    ["an unknown round", event("report", { round: "test" })],
    ["a time that is no number", event("report", { computeMs: NaN })],
    [
      "more right than there are",
      event("report", {
        shards: [{ shard: 0, loss: 0, count: 4, correct: 5, finite: true, inputChecksum: 0 }],
      }),
    ],
    ["too many shards", event("report", { shards: Array.from({ length: 65_537 }, () => ({})) })],
    ["something else saved", event("saved", { what: "all" })],
    ["a digest with a blank", event("saved", { parameterDigest: "a b" })],
    ["an unknown cause", event("failed", { cause: "bad luck" })],
    ["an unknown level", event("log", { level: "fatal" })],
    ["a result that is too long", event("task-done", { result: "x".repeat(resultBytesMax + 1) })],
    [
      "a result of too many bytes",
      event("task-done", { result: "数".repeat(resultBytesMax / 3 + 1) }),
    ],
    [
      "fields that are no JSON",
      FromWorker.encode({ log: { level: "info", fieldsJson: "{" } }).finish(),
    ],
    [
      "fields that are a list",
      FromWorker.encode({ log: { level: "info", fieldsJson: "[1]" } }).finish(),
    ],
    [
      "a field of an object",
      FromWorker.encode({ log: { level: "info", fieldsJson: '{"a":{}}' } }).finish(),
    ],
    [
      "a field __proto__",
      FromWorker.encode({ log: { level: "info", fieldsJson: '{"__proto__":1}' } }).finish(),
    ],
    ["a message that is too long", new Uint8Array(messageBytesMax + 1)],
  ])("is refused with %s", (_, bytes) => {
    expect(() => workerEvent.decode(bytes)).toThrow(WireError);
  });

  test("a loss that is no number is not finite, whatever the flag says", () => {
    const shard = { shard: 0, loss: NaN, count: 1, correct: 0, finite: true, inputChecksum: 0 };
    const decoded = workerEvent.decode(event("report", { shards: [shard] }));
    expect(decoded).toMatchObject({ shards: [{ loss: NaN, finite: false }] });
  });

  test("a message that is too long is cut, not refused", () => {
    const decoded = workerEvent.decode(event("failed", { message: "x".repeat(10_000) }));
    expect(decoded).toMatchObject({ message: `${"x".repeat(4095)}…` });
  });

  test("log fields beyond the bound are left out, and numbers that JSON lacks become their names", () => {
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`field${i}`, i]));
    const fields = { loss: NaN, rate: Infinity, text: "x".repeat(2_000), ...many };
    const decoded = workerEvent.decode(event("log", { fields }));
    const read = decoded.kind === "log" ? decoded.fields : {};
    expect(Object.keys(read)).toHaveLength(32);
    expect(read).toMatchObject({ loss: "NaN", rate: "Infinity", field0: 0 });
    expect(String(read["text"])).toHaveLength(1024);
  });
});

describe("what a worker is told", () => {
  test.each(commands.map((value) => [value.kind, value] as const))(
    "%s is read as it was written",
    (_, value) => {
      const sent = { term: 7, command: value };
      expect(workerCommand.decode(workerCommand.encode(sent))).toEqual(sent);
    },
  );

  test("the bytes of a command stay as they are", () => {
    expect(hex(command("commit", {}))).toBe(
      "08014a210a06646967697473100118162001" + "a201100816115f633937dd9abf3f1dffffffff",
    );
    expect(hex(command("cancel-task", {}))).toBe("08016a080a067461736b2d31");
  });

  const round = { workerId: "w", address: "a", finished: false, checks: [] };
  test.each<readonly [string, Uint8Array]>([
    ["no command", ToWorker.encode({ term: 1 }).finish()],
    [
      "a negative term",
      workerCommand.encodeUnchecked({ term: -1, command: { kind: "spare", reason: "" } }),
    ],
    ["a lease of 0", command("welcome", { leaseMs: 0 })],
    ["a round of no shards", command("round", { shardCount: 0, members: [] })],
    ["a round of too many shards", command("round", { shardCount: 65_537 })],
    [
      "a range past the shards",
      command("round", { members: [{ ...round, ranges: [{ first: 0, end: 33 }] }] }),
    ],
    [
      "a range that ends before it begins",
      command("round", { members: [{ ...round, ranges: [{ first: 5, end: 4 }] }] }),
    ],
    [
      "an address with a wildcard",
      command("round", { members: [{ ...round, address: ">", ranges: [] }] }),
    ],
    [
      "too many members",
      command("round", { members: Array.from({ length: 4097 }, () => ({ ...round, ranges: [] })) }),
    ],
    ["no source", ToWorker.encode({ load: { job: "digits" } }).finish()],
    ["a source without an address", command("load", { source: { kind: "peer", address: "" } })],
    [
      "no settings",
      ToWorker.encode({ prepare: { job: "digits", schedule: {}, classes: 2 } }).finish(),
    ],
    ["no task", ToWorker.encode({ task: { taskId: "task-1" } }).finish()],
    ["no task id", command("cancel-task", { taskId: "" })],
    [
      "settings of nothing",
      ToWorker.encode({ task: { taskId: "t", index: { settings: {} } } }).finish(),
    ],
    ["a save of something else", command("save", { what: "all" })],
  ])("is refused with %s", (_, bytes) => {
    expect(() => workerCommand.decode(bytes)).toThrow(WireError);
  });

  test("settings that are not all decided are refused in an order", () => {
    const prepare = {
      job: "d",
      classes: 2,
      schedule: {},
      settings: { name: "d", model: "R50x1", data: "/d" },
    };
    const bytes = ToWorker.encode({ prepare: { ...prepare, indexDigest: "ab" } }).finish();
    expect(() => workerCommand.decode(bytes)).toThrow(/^settings: .* is not decided$/);
  });
});

describe("who sends", () => {
  test.each<readonly [string, () => unknown]>([
    ["a device's name", () => workerEvent.encode(changed("hello", { device: "x".repeat(256) }))],
    [
      "a result",
      () => workerEvent.encode(changed("task-done", { result: "数".repeat(2 ** 20 + 1) })),
    ],
    ["a time", () => workerEvent.encode(changed("report", { computeMs: NaN }))],
    ["a step", () => workerCommand.encode({ term: 1, command: { ...offer, step: 2 ** 31 } })],
    ["a term", () => workerCommand.encode({ term: 2 ** 31, command: offer })],
  ])("knows that the other side would not take %s", (_, encode) => {
    expect(encode).toThrow(WireError);
  });

  const offer = { kind: "offer", job: "digits", attempt: 1, step: 1 } as const;

  test("tells a failure in place of what somebody waits for, and nothing for the rest", () => {
    const told = events.map((value) => [value.kind, insteadOf(value, "too long")] as const);
    for (const [, instead] of told) {
      if (instead !== undefined)
        expect(workerEvent.decode(workerEvent.encode(instead))).toEqual(instead);
    }
    const kinds = new Map(told.map(([kind, instead]) => [kind, instead?.kind]));
    expect(kinds.get("report")).toBe("failed");
    expect(kinds.get("task-done")).toBe("task-failed");
    expect(kinds.get("beat")).toBeUndefined();
    expect(kinds.get("log")).toBeUndefined();
  });

  test("leaves out of a log line what would not be taken, however it grows in JSON", () => {
    const grown = Object.fromEntries(
      Array.from({ length: 32 }, (_, i) => [`f${i}`, "\u0001".repeat(1024)]),
    );
    const fields = { "no name": 1, "": 2, ...grown };
    const decoded = workerEvent.decode(workerEvent.encode(changed("log", { fields })));
    const names = decoded.kind === "log" ? Object.keys(decoded.fields) : [];
    expect(names.length).toBeGreaterThan(8);
    expect(names).toEqual(Object.keys(grown).slice(0, names.length));
  });

  function changed(kind: WorkerEvent["kind"], changes: object): WorkerEvent {
    const found = events.find((candidate) => candidate.kind === kind);
    return { ...found, ...changes } as WorkerEvent;
  }
});

test.each([1, 2, 3, 4, 5])("no bytes do more than be refused (SEED=%i)", (seed) => {
  const random = new Random(seed);
  const samples = [
    ...events.map((value) => workerEvent.encode(value)),
    ...commands.map((value) => workerCommand.encode({ term: 1, command: value })),
  ];
  let refused = 0;
  let read = 0;
  for (let i = 0; i < 4_000; i += 1) {
    for (const bytes of [noise(random), damaged(samples[random.below(samples.length)], random)]) {
      for (const codec of [workerEvent, workerCommand]) {
        try {
          codec.decode(bytes);
          read += 1;
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
          refused += 1;
        }
      }
    }
  }
  expect(refused).toBeGreaterThan(1_000);
  expect(read).toBeGreaterThan(100);
});

function noise(random: Random): Uint8Array {
  return Uint8Array.from({ length: random.below(60) }, () => random.below(256));
}

/** A real message with a few bytes changed, cut off or repeated. */
function damaged(sample: Uint8Array | undefined, random: Random): Uint8Array {
  const bytes = Uint8Array.from(sample ?? []);
  for (let i = random.below(3); i >= 0; i -= 1)
    bytes[random.below(bytes.length)] = random.below(256);
  const cut = random.below(3) === 0 ? random.below(bytes.length + 1) : bytes.length;
  return random.below(8) === 0 ? Uint8Array.from([...bytes, ...bytes]) : bytes.subarray(0, cut);
}
