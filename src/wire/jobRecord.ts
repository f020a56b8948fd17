/**
 * The durable record of a job <-> JSON. The bytes come back from a database that others may have written to, so every field
 * is checked and copied into an object of ours: unknown names, `__proto__` among them, go no further.
 */
import type { Schedule } from "../bit/schedule.js";
import {
  jobStates,
  type CheckpointRef,
  type EvaluationResult,
  type JobRecord,
  type Pin,
  type WeightsRef,
  type Trial,
} from "../control/record.js";
import type { StepFacts } from "../control/message.js";
import {
  classesMax,
  classNameMax,
  evaluationsMax,
  membersMax,
  recordBytesMax,
  workerIdMax,
} from "../job/limits.js";
import { ConfigError, WireError } from "../job/problem.js";
import { checkSettings } from "../job/request.js";
import { settingNames, type JobSettings, type SettingName } from "../job/settings.js";
import type { JobPlan, Override, OverrideValue } from "../job/plan.js";
import {
  amount,
  check,
  count,
  cut,
  label,
  list,
  optionalToken,
  present,
  quote,
  text,
  token,
  word,
  type Codec,
} from "./codec.js";
import { isObject, parseJson } from "./fields.js";
import { boundariesMax } from "./workerCommand.js";

const checkpointsMax = 10_000;
const trailMax = 10_000;
const version = 1;

/** `encode` throws a WireError where the record could not be read again: it is written by the rules of reading. */
export const jobRecord: Codec<JobRecord> = { encode, decode };

function encode(record: JobRecord): Uint8Array {
  const bytes = written(record);
  decode(bytes);
  return bytes;
}

function written(record: JobRecord): Uint8Array {
  const trail = record.trail.map(({ step, loss, sumChecksum }) => [
    step,
    Number.isFinite(loss) ? loss : String(loss),
    sumChecksum,
  ]);
  const evaluations = record.evaluations.map(({ step, correct, total, loss }) => [
    ...[step, correct, total],
    Number.isFinite(loss) ? loss : String(loss),
  ]);
  const reason = cut(record.reason);
  const json = JSON.stringify({ version, ...record, reason, trail, evaluations }, plainLoss);
  return new TextEncoder().encode(json);
}

function decode(bytes: Uint8Array): JobRecord {
  check(bytes.length <= recordBytesMax, `a record of ${bytes.length} bytes`);
  const record = object(parseJson(utf8(bytes), "a record"), "record");
  const found = integer(record["version"], "version");
  check(found === version, `a record of version ${found}, ${version} is read`);
  return {
    name: label(string(record["name"], "name"), "name"),
    requestId: token(string(record["requestId"], "request id"), "request id"),
    order: integer(record["order"], "order"),
    plan: plan(object(record["plan"], "plan")),
    indexDigest: token(string(record["indexDigest"], "index digest"), "index digest"),
    state: word(string(record["state"], "state"), jobStates, "state"),
    reason: text(string(record["reason"], "reason"), "reason"),
    attempt: integer(record["attempt"], "attempt"),
    generation: integer(record["generation"], "generation"),
    trial: optional(record["trial"], "trial", trial),
    step: integer(record["step"], "step"),
    pin: optional(record["pin"], "pin", pin),
    members: entries(record["members"] ?? [], "members", membersMax, memberId),
    mayReturn: entries(record["mayReturn"], "workers that may return", membersMax, memberId),
    checkpoints: checkpoints(record),
    evaluations: entries(record["evaluations"], "evaluations", evaluationsMax, evaluation),
    loss: record["loss"] === undefined ? undefined : loss(record["loss"]),
    usualStepMs:
      record["usualStepMs"] === undefined
        ? undefined
        : amount(number(record["usualStepMs"], "time of a step"), "time of a step"),
    trail: entries(record["trail"] ?? [], "steps of the trail", trailMax, stepFacts),
    weights: optional(record["weights"], "weights", weights),
    createdMs: amount(number(record["createdMs"], "time of creation"), "time of creation"),
    startedMs: amount(number(record["startedMs"], "time of the start"), "time of the start"),
    endedMs: amount(number(record["endedMs"], "time of the end"), "time of the end"),
  };
}

function trial(value: Json): Trial {
  return {
    step: integer(value["step"], "step of the trial"),
    generation: integer(value["generation"], "generation of the trial"),
    doubted: integer(value["doubted"], "doubted generation of the trial"),
  };
}

type Json = Readonly<Record<string, unknown>>;

/** JSON has no word for a loss that has become infinite or no number. */
function plainLoss(key: string, value: unknown): unknown {
  if (typeof value !== "number" || Number.isFinite(value)) return value;
  check(key === "loss", `${key} is ${value}`);
  return String(value);
}

function loss(value: unknown): number {
  if (typeof value === "string") {
    return Number(word(value, ["NaN", "Infinity", "-Infinity"], "loss"));
  }
  return number(value, "loss");
}

function plan(value: Json): JobPlan {
  return {
    settings: jobSettings(object(value["settings"], "settings")),
    schedule: schedule(object(value["schedule"], "schedule")),
    classes: classes(value["classes"]),
    trainingExamples: integer(value["trainingExamples"], "training examples"),
    validationExamples: integer(value["validationExamples"], "validation examples"),
    shardSize: integer(value["shardSize"], "shard size"),
    overridden: entries(value["overridden"], "overrides", settingNames.length, override),
    memoryBytes: amount(number(value["memoryBytes"], "memory"), "memory"),
  };
}

/** What a record that was written before there was such a setting means. */
const laterSettings: ReadonlyMap<string, number> = new Map([
  ["audit", 0],
  ["priority", 0],
]);

function jobSettings(value: Json): JobSettings {
  try {
    const given = new Map(
      settingNames.map((name) => [name, value[name] ?? laterSettings.get(name)] as const),
    );
    return checkSettings(Object.fromEntries(given));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new WireError(`settings: ${error.message}`, { cause: error });
  }
}

function schedule(value: Json): Schedule {
  return {
    baseRate: amount(number(value["baseRate"], "base rate"), "base rate"),
    warmupSteps: integer(value["warmupSteps"], "warm-up steps"),
    boundaries: entries(value["boundaries"], "boundaries", boundariesMax, (boundary) =>
      integer(boundary, "boundary"),
    ),
    steps: integer(value["steps"], "steps"),
    decay: decay(value["decay"]),
  };
}

function decay(value: unknown): 10 {
  check(value === 10, "a decay other than 10");
  return value;
}

function classes(value: unknown): readonly string[] {
  return entries(value, "classes", classesMax, (name) =>
    text(string(name, "name of a class"), "name of a class", classNameMax),
  );
}

function override(value: unknown): Override {
  const { setting, ruleValue, value: given } = object(value, "override");
  return {
    setting: word<SettingName>(string(setting, "setting"), settingNames, "setting"),
    ruleValue: overrideValue(ruleValue),
    value: overrideValue(given),
  };
}

function overrideValue(value: unknown): OverrideValue {
  if (typeof value === "boolean") return value;
  if (!Array.isArray(value)) return number(value, "value of an override");
  return entries(value, "values of an override", boundariesMax, (entry) =>
    number(entry, "value of an override"),
  );
}

function pin({ numerics, probe }: Json): Pin {
  return {
    numerics: text(string(numerics, "numerics"), "numerics", 1024),
    probe: token(string(probe, "probe"), "probe"),
  };
}

function memberId(value: unknown): string {
  return token(string(value, "member"), "member", workerIdMax);
}

/** Newest first. A record of before there could be several has one, or none. */
function checkpoints(record: Json): readonly CheckpointRef[] {
  const { checkpoint: only, checkpoints: all = only === undefined ? [] : [only] } = record;
  return entries(all, "checkpoints", checkpointsMax, checkpoint);
}

/** Three in a list: there may be a thousand of them. */
function stepFacts(value: unknown): StepFacts {
  const [step, mean, sumChecksum] = entries(value, "facts of a step", 3, (entry) => entry);
  const sum = number(sumChecksum, "checksum of a sum");
  check(Number.isInteger(sum) && 0 <= sum && sum <= 0xffffffff, `checksum of a sum ${sum}`);
  return { step: integer(step, "step of the trail"), loss: loss(mean), sumChecksum: sum };
}

function checkpoint(value: unknown): CheckpointRef {
  const { step, attempt } = object(value, "checkpoint");
  return {
    step: integer(step, "step of the checkpoint"),
    attempt: integer(attempt, "attempt of the checkpoint"),
  };
}

function weights({ parameterDigest }: Json): WeightsRef {
  return {
    parameterDigest: optionalToken(string(parameterDigest, "parameter digest"), "parameter digest"),
  };
}

/** Four in a list, as there may be a thousand. */
function evaluation(value: unknown): EvaluationResult {
  const [step, correct, total, mean] = entries(value, "an evaluation", 4, (entry) => entry);
  const examples = integer(total, "examples");
  return {
    step: integer(step, "step of an evaluation"),
    correct: count(number(correct, "correct"), "correct", examples),
    total: examples,
    loss: loss(mean),
  };
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new WireError("a record that is no UTF-8", { cause: error });
  }
}

function object(value: unknown, what: string): Json {
  check(isObject(value), `${what} is no object`);
  return value;
}

function optional<T>(value: unknown, what: string, read: (value: Json) => T): T | undefined {
  return value === undefined ? undefined : read(object(value, what));
}

function entries<T>(
  value: unknown,
  what: string,
  max: number,
  read: (value: unknown) => T,
): readonly T[] {
  check(Array.isArray(value), `${what} are no list`);
  return list(present(value, what), what, max, read);
}

function string(value: unknown, what: string): string {
  check(typeof value === "string", `${what} ${quote(String(value))} is no text`);
  return value;
}

function number(value: unknown, what: string): number {
  check(typeof value === "number" && Number.isFinite(value), `${what} is no number`);
  return value;
}

function integer(value: unknown, what: string): number {
  return count(number(value, what), what);
}
