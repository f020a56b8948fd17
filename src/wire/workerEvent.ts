/** FromWorker <-> WorkerEvent. */
import { bitfleet } from "#proto";
import type {
  FailureCause,
  HeldState,
  LogLevel,
  ShardResult,
  WorkerEvent,
} from "../control/message.js";
import { utf8Bytes } from "../job/cutText.js";
import { checksMax, resultBytesMax, shardsMax, termSaidMax, workerIdMax } from "../job/limits.js";
import { WireError } from "../job/problem.js";
import {
  amount,
  check,
  checksum,
  codec,
  count,
  cut,
  label,
  list,
  optionalToken,
  text,
  token,
  word,
} from "./codec.js";
import { incarnationOf } from "./incarnation.js";
import { ranges } from "./ranges.js";
import { decodeFields, encodeFields } from "./fields.js";
import { stepFacts } from "./stepFacts.js";

const { v1 } = bitfleet;
type Message = bitfleet.v1.FromWorker & bitfleet.v1.FromWorker.$Shape;
type Properties = bitfleet.v1.FromWorker.$Properties;

/** Version of this contract. */
export const protocol = 1;
export const causes: readonly FailureCause[] = [
  "data",
  "read",
  "config",
  "checkpoint",
  "memory",
  "numbers",
  "exit",
  "error",
];
export const levels: readonly LogLevel[] = ["debug", "info", "warn", "error"];
/** More than a worker keeps. */
const trailMax = 4_096;

export const workerEvent = codec("FromWorker", v1.FromWorker, toMessage, fromMessage);

/** What is told instead of an event that the coordinator would not take; undefined: nothing waits for it. */
export function insteadOf(event: WorkerEvent, why: string): WorkerEvent | undefined {
  const message = cut(`its word "${event.kind}" cannot be sent: ${why}`);
  if (event.kind === "task-done" || event.kind === "task-failed")
    return { kind: "task-failed", taskId: event.taskId, cause: "error", message };
  if (!("job" in event && "attempt" in event)) return undefined;
  return { kind: "failed", job: event.job, attempt: event.attempt, cause: "error", message };
}

function toMessage(event: WorkerEvent): Properties {
  switch (event.kind) {
    case "hello": {
      const { kind, held, ...hello } = event;
      const state =
        held === undefined ? null : { ...held, ranges: [...held.ranges], trail: [...held.trail] };
      return { [kind]: { ...hello, held: state, protocol } };
    }
    case "beat":
      return {
        beat: { ...event, phase: cut(event.phase, 256), waitingFor: [...event.waitingFor] },
      };
    case "prepared":
      return { prepared: event };
    case "loaded":
      return { loaded: event };
    case "report":
      return { report: { ...event, shards: [...event.shards] } };
    case "applied":
      return { applied: event };
    case "saved":
      return { saved: event };
    case "save-failed":
      return { saveFailed: { ...event, message: cut(event.message) } };
    case "failed":
      return { failed: { ...event, message: cut(event.message) } };
    case "released":
      return { released: event };
    case "task-progress":
      return { taskProgress: event };
    case "task-done":
      return { taskDone: event };
    case "task-failed":
      return { taskFailed: { ...event, message: cut(event.message) } };
    case "log":
      return {
        log: { ...event, message: cut(event.message), fieldsJson: encodeFields(event.fields) },
      };
    case "leaving":
      return { leaving: { reason: cut(event.reason) } };
    case "leave":
      return { leave: { reason: cut(event.reason) } };
  }
}

function fromMessage(message: Message): WorkerEvent {
  if (message.hello) return hello(message.hello);
  if (message.beat) return beat(message.beat);
  if (message.report) return report(message.report);
  if (message.prepared) {
    const { probe } = message.prepared;
    return { kind: "prepared", ...place(message.prepared), probe: token(probe, "probe") };
  }
  if (message.loaded) return { kind: "loaded", ...reached(message.loaded) };
  if (message.applied) return { kind: "applied", ...reached(message.applied) };
  if (message.saved) return saved(message.saved);
  if (message.saveFailed) return saveFailed(message.saveFailed);
  if (message.failed) {
    return { kind: "failed", ...place(message.failed), ...failure(message.failed) };
  }
  if (message.released) return { kind: "released", job: label(message.released.job, "job") };
  if (message.log) return log(message.log);
  if (message.leaving) return { kind: "leaving", reason: text(message.leaving.reason, "reason") };
  if (message.leave) return { kind: "leave", reason: text(message.leave.reason, "reason") };
  return taskEvent(message);
}

function taskEvent({ taskProgress, taskDone, taskFailed }: Message): WorkerEvent {
  if (taskProgress) {
    const { taskId, done, total } = taskProgress;
    return {
      kind: "task-progress",
      taskId: token(taskId, "task"),
      done: count(done, "done"),
      total: count(total, "total"),
    };
  }
  if (taskDone) {
    const { taskId, result } = taskDone;
    return {
      kind: "task-done",
      taskId: token(taskId, "task"),
      result: taskResult(result),
    };
  }
  if (taskFailed) {
    return {
      kind: "task-failed",
      taskId: token(taskFailed.taskId, "task"),
      ...failure(taskFailed),
    };
  }
  throw new WireError("a FromWorker without an event");
}

function taskResult(value: string | null | undefined): string {
  const result = text(value, "result", resultBytesMax);
  const bytes = utf8Bytes(result);
  check(bytes <= resultBytesMax, `result of ${bytes} bytes, ${resultBytesMax} allowed`);
  return result;
}

function hello(message: bitfleet.v1.Hello.$Properties): WorkerEvent {
  check(message.protocol === protocol, `protocol ${message.protocol ?? 0}, ${protocol} is spoken`);
  const { held } = message;
  const incarnation = token(message.incarnation, "incarnation");
  const secret = token(message.secret, "secret of the incarnation");
  check(incarnation === incarnationOf(secret), `incarnation ${incarnation}, which is another's`);
  return {
    kind: "hello",
    workerId: token(message.workerId, "worker id", workerIdMax),
    incarnation,
    secret,
    host: text(message.host, "host", 255),
    pid: count(message.pid, "pid"),
    device: text(message.device, "device", 255),
    gpu: message.gpu ?? false,
    numerics: text(message.numerics, "numerics", 1024),
    term: count(message.term, "term", termSaidMax),
    held: held ? heldState(held) : undefined,
  };
}

function heldState(message: bitfleet.v1.HeldState.$Properties): HeldState {
  return {
    ...reached(message),
    ranges: ranges(message.ranges, shardsMax),
    summed: message.summed ?? false,
    trial: count(message.trial, "trial"),
    trail: list(message.trail, "steps of the trail", trailMax, stepFacts),
  };
}

function beat(message: bitfleet.v1.Beat.$Properties): WorkerEvent {
  return {
    kind: "beat",
    phase: text(message.phase, "phase", 256),
    waitingFor: list(message.waitingFor, "workers waited for", shardsMax, (id) =>
      token(id, "worker waited for"),
    ),
    natsAgeMs: amount(message.natsAgeMs, "NATS age", -1),
    shardsDone: count(message.shardsDone, "shards done", shardsMax),
    residentBytes: amount(message.residentBytes, "resident bytes"),
    childSilentMs: amount(message.childSilentMs, "silence of the child", -1),
    unitMs: amount(message.unitMs, "time of a unit", -1),
  };
}

function report(message: bitfleet.v1.Report.$Properties): WorkerEvent {
  return {
    kind: "report",
    ...place(message),
    generation: count(message.generation, "generation"),
    step: count(message.step, "step"),
    round: word(message.round, ["training", "evaluation"], "round"),
    trial: count(message.trial, "trial"),
    sumChecksum: checksum(message.sumChecksum),
    parameterChecksum: checksum(message.parameterChecksum),
    shards: list(message.shards, "shards", shardsMax, shardResult),
    computeMs: amount(message.computeMs, "compute time"),
    exchangeMs: amount(message.exchangeMs, "exchange time"),
  };
}

/** A loss that is no number is not finite, whatever the flag says. */
function shardResult(message: bitfleet.v1.ShardResult.$Properties): ShardResult {
  const examples = count(message.count, "examples");
  const loss = message.loss ?? 0;
  return {
    shard: count(message.shard, "shard", shardsMax - 1),
    loss,
    count: examples,
    correct: count(message.correct, "correct", examples),
    finite: (message.finite ?? false) && Number.isFinite(loss),
    inputChecksum: checksum(message.inputChecksum),
    gradientChecksum: checksum(message.gradientChecksum),
    check: count(message.check, "check", checksMax),
  };
}

function saved(message: bitfleet.v1.Saved.$Properties): WorkerEvent {
  return {
    kind: "saved",
    ...place(message),
    step: count(message.step, "step"),
    what: word(message.what, ["checkpoint", "weights"], "saved"),
    parameterDigest: optionalToken(message.parameterDigest, "parameter digest"),
    bytes: amount(message.bytes, "bytes"),
  };
}

function saveFailed(message: bitfleet.v1.SaveFailed.$Properties): WorkerEvent {
  return {
    kind: "save-failed",
    ...place(message),
    step: count(message.step, "step"),
    what: word(message.what, ["checkpoint", "weights"], "what was not saved"),
    message: text(message.message, "message"),
  };
}

function log(message: bitfleet.v1.WorkerLog.$Properties): WorkerEvent {
  return {
    kind: "log",
    job: (message.job ?? "") === "" ? "" : label(message.job, "job"),
    level: word(message.level, levels, "level"),
    message: text(message.message, "message"),
    fields: decodeFields(message.fieldsJson ?? ""),
  };
}

interface Placed {
  readonly job?: string | null;
  readonly attempt?: number | null;
}

function place({ job, attempt }: Placed): { readonly job: string; readonly attempt: number } {
  return { job: label(job, "job"), attempt: count(attempt, "attempt") };
}

function reached(
  message: Placed & { readonly step?: number | null; readonly parameterChecksum?: number | null },
): {
  readonly job: string;
  readonly attempt: number;
  readonly step: number;
  readonly parameterChecksum: number;
} {
  return {
    ...place(message),
    step: count(message.step, "step"),
    parameterChecksum: checksum(message.parameterChecksum),
  };
}

function failure(message: { readonly cause?: string | null; readonly message?: string | null }): {
  readonly cause: FailureCause;
  readonly message: string;
} {
  return {
    cause: word(message.cause, causes, "cause"),
    message: text(message.message, "message"),
  };
}
