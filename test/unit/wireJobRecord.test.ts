import { describe, expect, test } from "vitest";
import type { JobRecord } from "../../src/control/record.js";
import { checkClasses } from "../../src/job/classes.js";
import { WireError } from "../../src/job/problem.js";
import { jobRecord } from "../../src/wire/jobRecord.js";
import { settings } from "../contract/grpcFixture.js";

const full: JobRecord = {
  name: "digits",
  requestId: "3f0c9a7e-1",
  order: 4,
  plan: {
    settings,
    schedule: { baseRate: 0.003, warmupSteps: 10, boundaries: [18, 36, 54], steps: 60, decay: 10 },
    classes: ["fünf", "__proto__", ""],
    trainingExamples: 50,
    validationExamples: 100,
    shardSize: 16,
    overridden: [
      { setting: "steps", ruleValue: 500, value: 60 },
      { setting: "noFlip", ruleValue: false, value: true },
      { setting: "drops", ruleValue: [0.4, 0.6], value: [0.3, 0.6, 0.9] },
    ],
    memoryBytes: 1.5e9,
  },
  indexDigest: "ab".repeat(32),
  state: "training",
  reason: "",
  attempt: 2,
  generation: 7,
  trial: { step: 31, generation: 6, doubted: 4 },
  step: 31,
  pin: { numerics: "cpu AVX512 1 thread", probe: "cd01" },
  members: ["w-1", "w-2"],
  mayReturn: ["w-3"],
  checkpoints: [
    { step: 20, attempt: 1 },
    { step: 10, attempt: 1 },
  ],
  evaluations: [{ step: 20, correct: 78, total: 100, loss: 0.7 }],
  loss: 0.123456789,
  usualStepMs: 1250.5,
  trail: [
    { step: 29, loss: 0.5, sumChecksum: 0xffffffff },
    { step: 30, loss: 0.123456789, sumChecksum: 7 },
  ],
  weights: { parameterDigest: "ef".repeat(32) },
  createdMs: 1_700_000_000_000,
  startedMs: 1_700_000_001_000,
  endedMs: 0,
};

type Json = Record<string, unknown>;

function bytesOf(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function stored(record: JobRecord): Json {
  return JSON.parse(new TextDecoder().decode(jobRecord.encode(record))) as Json;
}

/** The stored form with one field, named by its path, set to something else; `undefined` leaves it out. */
function changed(path: string, value: unknown): Uint8Array {
  const copy = stored(full);
  const keys = path.split(".");
  let at = copy;
  for (const key of keys.slice(0, -1)) at = at[key] as Json;
  at[keys.at(-1) ?? ""] = value;
  return bytesOf(copy);
}

describe("the durable record of a job", () => {
  test("is read as it was written", () => {
    expect(jobRecord.decode(jobRecord.encode(full))).toEqual(full);
    const bare: JobRecord = {
      ...full,
      pin: undefined,
      members: [],
      checkpoints: [],
      trail: [],
      weights: undefined,
      loss: undefined,
      evaluations: [],
    };
    expect(jobRecord.decode(jobRecord.encode(bare))).toEqual(bare);
  });

  test("is never too large while the job is one that can be submitted", () => {
    const many = <T>(length: number, entry: (i: number) => T): readonly T[] =>
      Array.from({ length }, (_, i) => entry(i));
    const name = "n".repeat(63);
    const text = "水".repeat(4096);
    const most = 2 ** 31 - 1;
    const loss = -1.2345678901234567e-101;
    // 400,000 bytes with quotes and commas.
    const classes = many(1_562, (i) => `${String(i).padStart(5, "0")}${"水".repeat(82)}12`);
    checkClasses(classes);
    expect(() => checkClasses([...classes, ...many(10, () => "水".repeat(85))])).toThrow("bytes");
    const record: JobRecord = {
      ...full,
      name,
      plan: {
        ...full.plan,
        classes,
        settings: { ...settings, name, data: text, validation: text, weights: text },
      },
      reason: text,
      pin: { numerics: "水".repeat(1024), probe: "p".repeat(128) },
      members: many(4096, (i) => `${String(i).padStart(4, "0")}${"w".repeat(59)}`),
      checkpoints: many(1_000, (i) => ({
        ...{ step: 10_000_000 - i, attempt: most },
      })),
      evaluations: many(1_000, () => ({ step: most, correct: most, total: most, loss })),
      trail: many(1_000, () => ({ step: most, loss, sumChecksum: 2 ** 32 - 1 })),
    };
    const bytes = jobRecord.encode(record);
    expect(bytes.length).toBeGreaterThan(800_000);
    expect(bytes.length).toBeLessThan(1_000_000);
    expect(jobRecord.decode(bytes)).toEqual(record);
  });

  test.each([
    ["attempt", { attempt: 2 ** 31 }, "attempt 2147483648"],
    ["generation", { generation: 2 ** 31 }, "generation 2147483648"],
    ["member", { members: ["w".repeat(64)] }, "member"],
    [
      "evaluations",
      { evaluations: new Array(1_001).fill(full.evaluations[0]) },
      "1001 evaluations",
    ],
    ["name of a class", { plan: { ...full.plan, classes: ["x".repeat(256)] } }, "256 characters"],
    ["size", { plan: { ...full.plan, classes: new Array(9_000).fill("x".repeat(120)) } }, "bytes"],
  ])("is not written where it could not be read: %s", (_, how, sentence) => {
    const wrong: JobRecord = { ...full, ...how };
    expect(() => jobRecord.encode(wrong)).toThrow(sentence);
    expect(() => jobRecord.encode(wrong)).toThrow(WireError);
  });

  test("keeps as much of a long reason as is read", () => {
    const read = jobRecord.decode(jobRecord.encode({ ...full, reason: "x".repeat(5_000) }));
    expect(read.reason).toBe(`${"x".repeat(4_095)}…`);
  });

  test.each([NaN, Infinity, -Infinity])("keeps a loss of %d", (loss) => {
    const evaluations = [{ step: 1, correct: 0, total: 1, loss }];
    const trail = [{ step: 30, loss, sumChecksum: 7 }];
    const record = { ...full, loss, evaluations, trail };
    expect(jobRecord.decode(jobRecord.encode(record))).toEqual(record);
  });

  test("never keeps any other number that JSON lacks", () => {
    expect(() => jobRecord.encode({ ...full, createdMs: NaN })).toThrow("createdMs is NaN");
  });

  test.each([
    ["name", "Not A Label"],
    ["name", undefined],
    ["version", 2],
    ["requestId", "a b"],
    ["order", 1.5],
    ["order", -1],
    ["order", "1"],
    ["plan", []],
    ["plan.settings.batch", 0],
    ["plan.settings.rate", undefined],
    ["plan.settings.model", "R51x1"],
    ["plan.schedule.decay", 9],
    ["plan.schedule.boundaries", [1, "2"]],
    ["plan.schedule.boundaries", Array.from({ length: 65 }, () => 1)],
    ["plan.classes", "five"],
    ["plan.classes", ["x".repeat(256)]],
    ["plan.overridden.0.setting", "constructor"],
    ["plan.overridden.0.value", "60"],
    ["plan.memoryBytes", null],
    ["indexDigest", "../../etc"],
    ["state", "sleeping"],
    ["reason", 7],
    ["reason", "x".repeat(4097)],
    ["step", 2 ** 31],
    ["pin", "cpu"],
    ["pin.probe", ""],
    ["evaluations.0.1", 101],
    ["evaluations.0.3", "huge"],
    ["evaluations.0", [1, 2, 3, 4, 5]],
    ["evaluations.0", {}],
    ["loss", null],
    ["weights.parameterDigest", null],
    ["createdMs", -1],
  ])("is refused with %s of %j", (path, value) => {
    expect(() => jobRecord.decode(changed(path, value))).toThrow(WireError);
  });

  test("takes nothing from names of the prototype", () => {
    const text = new TextDecoder().decode(jobRecord.encode(full));
    const poisoned = text.replace(
      "{",
      '{"__proto__":{"polluted":1},"constructor":{"prototype":{}},',
    );
    const record = jobRecord.decode(new TextEncoder().encode(poisoned));
    expect(record).toEqual(full);
    expect(Object.getPrototypeOf(record)).toBe(Object.prototype);
    expect("polluted" in record).toBe(false);
    expect(({} as Json)["polluted"]).toBeUndefined();
  });

  test("does not take a missing field from a prototype given in the bytes", () => {
    const copy = stored(full);
    delete copy["state"];
    const text = JSON.stringify(copy).replace("{", '{"__proto__":{"state":"done"},');
    expect(() => jobRecord.decode(new TextEncoder().encode(text))).toThrow(WireError);
  });

  test.each([
    ["no bytes", new Uint8Array(0)],
    ["no JSON", new TextEncoder().encode("{")],
    ["a list", bytesOf([])],
    ["null", bytesOf(null)],
    ["no UTF-8", Uint8Array.of(0x22, 0xff, 0x22)],
    ["too many bytes", new TextEncoder().encode(`"${"x".repeat(1_000_001)}"`)],
  ])("is refused as %s", (_, bytes) => {
    expect(() => jobRecord.decode(bytes)).toThrow(WireError);
  });

  test("is refused when it would not fit into the store", () => {
    const classes = Array.from({ length: 5_000 }, () => "x".repeat(250));
    const record = { ...full, plan: { ...full.plan, classes } };
    expect(() => jobRecord.encode(record)).toThrow(/^a record of \d+ bytes$/);
  });
});
