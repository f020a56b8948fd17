/**
 * What coordinator and workers say to each other. The control machines take and give exactly these values, and src/wire turns
 * them into bytes: there is no third type. Steps count from 0: step k turns state k into state k + 1. A job's id is its name.
 */
import type { JobRequest, JobSettings } from "../job/settings.js";
import type { Schedule } from "../bit/schedule.js";
import type { Range } from "../plan/tree.js";

export type RoundKind = "training" | "evaluation";

/** One rank's share of a round. `address` names the worker's inbox for exchange frames. */
export interface RoundMember {
  readonly workerId: string;
  readonly address: string;
  /** Shards dealt to this rank, in the order dealt: what it held before a regroup stays first. */
  readonly ranges: readonly Range[];
  /** Whether it has reported the finished sum: then nobody need make what a lost worker had. */
  readonly finished: boolean;
  /** Shards that it computes only to compare them with what another worker got. */
  readonly checks: readonly Check[];
}

/** One more computation of a shard, beside the one that goes into the sum. */
export interface Check {
  readonly shard: number;
  /** From 1: tells several checks of one shard apart. */
  readonly number: number;
}

/** What one shard of a round gave. Training: `loss` is a float32 sum and `correct` is 0. */
export interface ShardResult {
  readonly shard: number;
  /** Sum of the examples' losses, a float32 value. */
  readonly loss: number;
  readonly count: number;
  readonly correct: number;
  readonly finite: boolean;
  /** uint32 over the images and labels that went in. */
  readonly inputChecksum: number;
  /** crc32 of the gradient's bytes; 0 where nobody is to compare it. */
  readonly gradientChecksum: number;
  /** Which check of the shard this is; 0 is the computation that goes into the sum. */
  readonly check: number;
}

/** What a step came to: the same whoever computes it. */
export interface StepFacts {
  readonly step: number;
  /** Mean over the examples. */
  readonly loss: number;
  readonly sumChecksum: number;
}

/** State that a worker keeps although its stream, or the coordinator, went away. */
export interface HeldState {
  readonly job: string;
  readonly attempt: number;
  /** Updates applied so far. */
  readonly step: number;
  readonly parameterChecksum: number;
  /** Ranges dealt to it in the training round of that step, if that is under way: it has made their nodes. */
  readonly ranges: readonly Range[];
  /** Whether it has that round's finished sum. */
  readonly summed: boolean;
  /** The last steps that it was told to apply, oldest first. */
  readonly trail: readonly StepFacts[];
  /** Of that round; see the command. */
  readonly trial: number;
}

/** Everything that a worker needs to take part in a job. */
export interface JobOrder {
  readonly job: string;
  readonly attempt: number;
  readonly settings: JobSettings;
  readonly schedule: Schedule;
  readonly classes: number;
  readonly trainingExamples: number;
  readonly validationExamples: number;
  readonly indexDigest: string;
}

/** Where the state comes from: a seed (or the weights the settings name), a checkpoint in the store, or a member. */
export type StateSource =
  | { readonly kind: "initial" }
  | { readonly kind: "checkpoint"; readonly step: number }
  | { readonly kind: "peer"; readonly address: string };

/** Work apart from any job, done by a process of its own beside the child. */
export type Task =
  /** Read the data of a job that is not planned yet; most settings are still open. */
  | { readonly kind: "index"; readonly settings: JobRequest }
  | {
      readonly kind: "predict";
      readonly model: string;
      readonly classes: number;
      /** How many classes the answer names of each picture, best first. */
      readonly best: number;
      readonly crop: number;
      readonly threads: number;
      /** Name of the npz in the store. */
      readonly weights: string;
      /** Names of the pictures in the store. */
      readonly pictures: readonly string[];
    };

/**
 * `checkpoint`: the one that it was told to load is missing or damaged. `read`: a picture could not be read there, for some
 * time; `data`: nobody will be able to use it.
 */
export type FailureCause =
  "data" | "read" | "config" | "checkpoint" | "memory" | "numbers" | "exit" | "error";

/** Worker to coordinator. */
export type WorkerEvent =
  | {
      readonly kind: "hello";
      readonly workerId: string;
      /** One life of the worker process; also its address in the exchange. */
      readonly incarnation: string;
      /** What proves that the incarnation is this process; nobody but the coordinator is told. */
      readonly secret: string;
      readonly host: string;
      readonly pid: number;
      /** For people: "CPU, 2 threads" or the name of the GPU. */
      readonly device: string;
      readonly gpu: boolean;
      /** Numerics class: equal text, equal arithmetic. */
      readonly numerics: string;
      /** The highest coordinator term this worker has obeyed. */
      readonly term: number;
      readonly held: HeldState | undefined;
    }
  | {
      readonly kind: "beat";
      readonly phase: string;
      /** Ids of the members whose frames its exchange lacks. */
      readonly waitingFor: readonly string[];
      /** Age of the worker's last round trip to NATS, -1 when it has none. */
      readonly natsAgeMs: number;
      /** Shards finished in the round under way. */
      readonly shardsDone: number;
      readonly residentBytes: number;
      /**
       * How long the worker has heard nothing from its child, which says every 500 ms how it stands;
       * -1 without a child. A child that is stopped or blocked is silent while its worker beats.
       */
      readonly childSilentMs: number;
      /**
       * How long the child's device has been at the one thing that it does now: a shard, an update, a
       * read or write of the state, the making of the engine; -1 when it does nothing. The device may
       * hang while the child talks. Does not grow while the child is silent.
       */
      readonly unitMs: number;
    }
  | {
      readonly kind: "prepared";
      readonly job: string;
      readonly attempt: number;
      /** Digest of the probe: decode, shard, fold and apply at the job's shapes. */
      readonly probe: string;
    }
  | {
      readonly kind: "loaded";
      readonly job: string;
      readonly attempt: number;
      readonly step: number;
      readonly parameterChecksum: number;
    }
  | {
      readonly kind: "report";
      readonly job: string;
      readonly attempt: number;
      readonly generation: number;
      readonly step: number;
      readonly round: RoundKind;
      /** The trial that the sum is of. */
      readonly trial: number;
      /** crc32 of the finished sum; 0 in an evaluation. */
      readonly sumChecksum: number;
      /** Taken behind the last shard, so that it is of what the shards were computed with. */
      readonly parameterChecksum: number;
      /** Every shard that this worker has computed for the round so far. */
      readonly shards: readonly ShardResult[];
      readonly computeMs: number;
      readonly exchangeMs: number;
    }
  | {
      readonly kind: "applied";
      readonly job: string;
      readonly attempt: number;
      /** The state reached. */
      readonly step: number;
      readonly parameterChecksum: number;
    }
  | {
      readonly kind: "saved";
      readonly job: string;
      readonly attempt: number;
      readonly step: number;
      readonly what: "checkpoint" | "weights";
      /** SHA-256 over the parameters in the order of their npz names. */
      readonly parameterDigest: string;
      readonly bytes: number;
    }
  /** What it was to write is not in the store; it goes on with its work. */
  | {
      readonly kind: "save-failed";
      readonly job: string;
      readonly attempt: number;
      readonly step: number;
      readonly what: "checkpoint" | "weights";
      readonly message: string;
    }
  | {
      readonly kind: "failed";
      readonly job: string;
      readonly attempt: number;
      readonly cause: FailureCause;
      readonly message: string;
    }
  | { readonly kind: "released"; readonly job: string }
  | {
      readonly kind: "task-progress";
      readonly taskId: string;
      readonly done: number;
      readonly total: number;
    }
  | { readonly kind: "task-done"; readonly taskId: string; readonly result: string }
  | {
      readonly kind: "task-failed";
      readonly taskId: string;
      readonly cause: FailureCause;
      readonly message: string;
    }
  | {
      readonly kind: "log";
      readonly job: string;
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: Readonly<Record<string, string | number | boolean>>;
    }
  /** It was asked to end, and does what it has begun until it is released. */
  | { readonly kind: "leaving"; readonly reason: string }
  | { readonly kind: "leave"; readonly reason: string };

/** What becomes of a task. */
export type TaskEvent = Extract<
  WorkerEvent,
  { readonly kind: "task-progress" | "task-done" | "task-failed" }
>;

export type LogLevel = "debug" | "info" | "warn" | "error";

/** As whom a process connects to NATS. */
export interface NatsUser {
  /** Empty: the secret is a token that stands for no user. */
  readonly user: string;
  /** The user's password. Both are empty where a server asks for nothing. */
  readonly secret: string;
}

/** How a worker reaches NATS. */
export interface NatsAccess extends NatsUser {
  readonly url: string;
}

/** Coordinator to worker. Every command travels with the coordinator's term; a lower one than seen is refused. */
export type WorkerCommand =
  | {
      readonly kind: "welcome";
      readonly leaseMs: number;
      readonly beatMs: number;
      readonly nats: NatsAccess;
      /** The store folder as the coordinator sees it; a worker's own setting wins. */
      readonly store: string;
    }
  /** Answer to a beat, by which a worker knows that it is heard. */
  | { readonly kind: "heard" }
  | { readonly kind: "refuse"; readonly reason: string }
  | { readonly kind: "spare"; readonly reason: string }
  /** Start a child for the job: index, engine, probe. Answered by `prepared`. */
  | { readonly kind: "prepare"; readonly order: JobOrder }
  /** Take the state of `step` from the source. Answered by `loaded`. */
  | {
      readonly kind: "load";
      readonly job: string;
      readonly attempt: number;
      readonly step: number;
      readonly source: StateSource;
    }
  /** Keep a copy of the state of `step` and serve it until a later step that nobody follows, or a later offer. */
  | {
      readonly kind: "offer";
      readonly job: string;
      readonly attempt: number;
      readonly step: number;
    }
  /** Take part in a round, or go on with it in a new generation. Answered by `report`. */
  | {
      readonly kind: "round";
      readonly job: string;
      readonly attempt: number;
      readonly generation: number;
      readonly step: number;
      readonly round: RoundKind;
      readonly shardCount: number;
      /**
       * The generation in which the sum of the step was last begun anew because something in it was
       * wrong, or 0: what was collected and added before it is dropped.
       */
      readonly trial: number;
      readonly members: readonly RoundMember[];
      /** Addresses of joiners that collect the finished sum, and that nobody depends on. */
      readonly followers: readonly string[];
    }
  /** The sum of `step` is final: apply it. Answered by `applied`, then by `saved` or `save-failed` where `save` is set. */
  | {
      readonly kind: "commit";
      readonly job: string;
      readonly attempt: number;
      readonly step: number;
      readonly save: boolean;
      /** For the worker to keep; undefined where nobody knows any more. */
      readonly facts: StepFacts | undefined;
    }
  /** Write the state that the worker holds. Answered by `saved` or `save-failed`. */
  | {
      readonly kind: "save";
      readonly job: string;
      readonly attempt: number;
      readonly what: "checkpoint" | "weights";
    }
  /** End the job's child. Answered by `released`. */
  | { readonly kind: "release"; readonly job: string; readonly reason: string }
  | { readonly kind: "task"; readonly taskId: string; readonly task: Task }
  | { readonly kind: "cancel-task"; readonly taskId: string }
  /** Finish or hand over, leave, and end the process. Answered by `leaving`. */
  | { readonly kind: "drain"; readonly reason: string };
