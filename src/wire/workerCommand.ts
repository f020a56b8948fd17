/** ToWorker <-> a command with the coordinator's term. */
import { bitfleet } from "#proto";
import type { Schedule } from "../bit/schedule.js";
import type {
  JobOrder,
  RoundMember,
  StateSource,
  Task,
  WorkerCommand,
} from "../control/message.js";
import {
  checksMax,
  classesMax,
  membersMax,
  predictLimits,
  scoresMax,
  shardsMax,
  workerIdMax,
} from "../job/limits.js";
import { WireError } from "../job/problem.js";
import {
  amount,
  check,
  codec,
  count,
  cut,
  label,
  list,
  present,
  storeName,
  text,
  token,
  word,
} from "./codec.js";
import { fromPassedRequest, fromSettings, toSettings } from "./settings.js";
import { ranges } from "./ranges.js";
import { stepFacts } from "./stepFacts.js";

const { v1 } = bitfleet;
type Message = bitfleet.v1.ToWorker & bitfleet.v1.ToWorker.$Shape;
type Properties = bitfleet.v1.ToWorker.$Properties;

export interface TermCommand {
  readonly term: number;
  readonly command: WorkerCommand;
}

export const boundariesMax = 64;

export const workerCommand = codec("ToWorker", v1.ToWorker, toMessage, ({ term, ...message }) => ({
  term: count(term, "term"),
  command: fromMessage(message),
}));

function toMessage({ term, command }: TermCommand): Properties {
  return { term, ...commandMessage(command) };
}

function commandMessage(command: WorkerCommand): Properties {
  switch (command.kind) {
    case "welcome": {
      const { leaseMs, beatMs, nats, store } = command;
      const { url: natsUrl, user: natsUser, secret: natsSecret } = nats;
      return { welcome: { leaseMs, beatMs, natsUrl, natsUser, natsSecret, store } };
    }
    case "heard":
      return { heard: {} };
    case "refuse":
      return { refuse: { reason: cut(command.reason) } };
    case "spare":
      return { spare: { reason: cut(command.reason) } };
    case "prepare": {
      const { settings, schedule, ...order } = command.order;
      const { boundaries } = schedule;
      return {
        prepare: {
          ...order,
          settings: toSettings(settings),
          schedule: { ...schedule, boundaries: [...boundaries] },
        },
      };
    }
    case "load": {
      const { job, attempt, step } = command;
      return { load: { job, attempt, step, ...sourceMessage(command.source) } };
    }
    case "offer":
      return { offer: command };
    case "round": {
      const members = command.members.map((member) => ({
        ...member,
        ranges: [...member.ranges],
        checks: [...member.checks],
      }));
      return { round: { ...command, members, followers: [...command.followers] } };
    }
    case "commit":
      return { commit: { ...command, facts: command.facts ?? null } };
    case "save":
      return { save: command };
    case "release":
      return { release: { job: command.job, reason: cut(command.reason) } };
    case "task":
      return { task: { taskId: command.taskId, ...taskMessage(command.task) } };
    case "cancel-task":
      return { cancelTask: { taskId: command.taskId } };
    case "drain":
      return { drain: { reason: cut(command.reason) } };
  }
}

function sourceMessage(source: StateSource): bitfleet.v1.Load.$Properties {
  switch (source.kind) {
    case "initial":
      return { initial: {} };
    case "checkpoint":
      return { checkpoint: { step: source.step } };
    case "peer":
      return { peer: { address: source.address } };
  }
}

function taskMessage(task: Task): bitfleet.v1.RunTask.$Properties {
  return task.kind === "index"
    ? { index: { settings: toSettings(task.settings) } }
    : { predict: { ...task, pictures: [...task.pictures] } };
}

function fromMessage(message: Omit<Message, "term">): WorkerCommand {
  const { welcome, heard, refuse, spare, prepare, load, round, release } = message;
  if (round) {
    return {
      kind: "round",
      ...place(round),
      generation: count(round.generation, "generation"),
      step: count(round.step, "step"),
      round: word(round.round, ["training", "evaluation"], "round"),
      shardCount: count(round.shardCount, "shards", shardsMax, 1),
      trial: count(round.trial, "trial"),
      members: list(round.members, "members", membersMax, member(round.shardCount ?? 0)),
      followers: list(round.followers, "followers", membersMax, (address) =>
        token(address, "address"),
      ),
    };
  }
  if (welcome) {
    return {
      kind: "welcome",
      leaseMs: count(welcome.leaseMs, "lease", 3_600_000, 1),
      beatMs: count(welcome.beatMs, "beat", 3_600_000, 1),
      nats: {
        url: text(welcome.natsUrl, "NATS address", 1024),
        user: text(welcome.natsUser, "NATS user", 256),
        secret: text(welcome.natsSecret, "NATS password", 1024),
      },
      store: text(welcome.store, "store", 4096),
    };
  }
  if (heard) return { kind: "heard" };
  if (refuse) return { kind: "refuse", reason: text(refuse.reason, "reason") };
  if (message.drain) return { kind: "drain", reason: text(message.drain.reason, "reason") };
  if (spare) return { kind: "spare", reason: text(spare.reason, "reason") };
  if (prepare) return { kind: "prepare", order: order(prepare) };
  if (load) {
    return {
      kind: "load",
      ...place(load),
      step: count(load.step, "step"),
      source: source(load),
    };
  }
  if (release) {
    return {
      kind: "release",
      job: label(release.job, "job"),
      reason: text(release.reason, "reason"),
    };
  }
  return stateCommand(message);
}

function stateCommand({
  offer,
  commit,
  save,
  task,
  cancelTask,
}: Omit<Message, "term">): WorkerCommand {
  if (offer) return { kind: "offer", ...place(offer), step: count(offer.step, "step") };
  if (commit) {
    const step = count(commit.step, "step");
    const facts = commit.facts ? stepFacts(commit.facts) : undefined;
    return { kind: "commit", ...place(commit), step, save: commit.save ?? false, facts };
  }
  if (save) {
    const what = word(save.what, ["checkpoint", "weights"], "save");
    return { kind: "save", ...place(save), what };
  }
  if (task) return { kind: "task", taskId: token(task.taskId, "task"), task: taskOf(task) };
  if (cancelTask) return { kind: "cancel-task", taskId: token(cancelTask.taskId, "task") };
  throw new WireError("a ToWorker without a command");
}

function order(message: bitfleet.v1.Prepare.$Properties): JobOrder {
  return {
    ...place(message),
    settings: fromSettings(present(message.settings, "settings")),
    schedule: schedule(present(message.schedule, "schedule")),
    classes: count(message.classes, "classes", classesMax, 1),
    trainingExamples: count(message.trainingExamples, "training examples"),
    validationExamples: count(message.validationExamples, "validation examples"),
    indexDigest: token(message.indexDigest, "index digest"),
  };
}

function schedule(message: bitfleet.v1.Schedule.$Properties): Schedule {
  return {
    baseRate: amount(message.baseRate, "base rate"),
    warmupSteps: count(message.warmupSteps, "warm-up steps"),
    boundaries: list(message.boundaries, "boundaries", boundariesMax, (boundary) =>
      count(boundary, "boundary"),
    ),
    steps: count(message.steps, "steps"),
    decay: 10,
  };
}

function source({ initial, checkpoint, peer }: bitfleet.v1.Load.$Properties): StateSource {
  if (initial) return { kind: "initial" };
  if (checkpoint) return { kind: "checkpoint", step: count(checkpoint.step, "checkpoint step") };
  return { kind: "peer", address: token(present(peer, "source").address, "address") };
}

function member(shardCount: number): (value: bitfleet.v1.RoundMember.$Properties) => RoundMember {
  return (message) => ({
    workerId: token(message.workerId, "worker id", workerIdMax),
    address: token(message.address, "address"),
    ranges: ranges(message.ranges, shardCount),
    finished: message.finished ?? false,
    checks: list(message.checks, "checks", shardsMax, (check) => ({
      shard: count(check.shard, "shard", shardCount - 1),
      number: count(check.number, "check", checksMax, 1),
    })),
  });
}

function taskOf({ index, predict }: bitfleet.v1.RunTask.$Properties): Task {
  if (index) {
    return { kind: "index", settings: fromPassedRequest(present(index.settings, "settings")) };
  }
  const message = present(predict, "task");
  check((message.pictures ?? []).length > 0, "a predict task without pictures");
  return {
    kind: "predict",
    model: text(message.model, "model", 128),
    classes: count(message.classes, "classes", classesMax, 1),
    best: count(message.best, "best classes", scoresMax, 1),
    crop: count(message.crop, "crop", 4096, 1),
    threads: count(message.threads, "threads", 1024),
    weights: storeName(message.weights, "weights"),
    pictures: list(message.pictures, "pictures", predictLimits.pictures, (name) =>
      storeName(name, "picture"),
    ),
  };
}

function place(message: { readonly job?: string | null; readonly attempt?: number | null }): {
  readonly job: string;
  readonly attempt: number;
} {
  return { job: label(message.job, "job"), attempt: count(message.attempt, "attempt") };
}
