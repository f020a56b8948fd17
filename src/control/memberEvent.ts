import type {
  Check,
  FailureCause,
  JobOrder,
  LogLevel,
  NatsAccess,
  RoundKind,
  RoundMember,
  ShardResult,
  StateSource,
  Task,
  TaskEvent,
  WorkerCommand,
  WorkerEvent,
} from "./message.js";

/**
 * What the worker's supervisor tells its machine, and what it does for it. The shell keeps these
 * rules: `exited` is the last event of a child and comes once for each that was started; commands
 * to a child are carried out in order, and those that come before its `ready` wait; what is sent
 * to a coordinator goes out on the stream that is open, or nowhere.
 */
export type MemberEvent = MemberHappening & { readonly nowMs: number };

export type MemberHappening =
  /** The stream to the coordinator is open. Answered by a `hello`, which must be the first on it. */
  | { readonly kind: "connected" }
  | { readonly kind: "disconnected" }
  | { readonly kind: "command"; readonly term: number; readonly command: WorkerCommand }
  | { readonly kind: "child"; readonly event: ChildEvent }
  | { readonly kind: "task"; readonly event: TaskEvent }
  /** The process was asked to end: it finishes or hands over what it does; `atOnce` it does not. */
  | { readonly kind: "leave"; readonly reason: string; readonly atOnce: boolean }
  | { readonly kind: "tick" };

/** From the child process. */
export type ChildEvent =
  /** The process is up. */
  | { readonly kind: "ready" }
  | { readonly kind: "prepared"; readonly probe: string }
  | { readonly kind: "loaded"; readonly step: number; readonly parameterChecksum: number }
  /** One shard is computed, in `computeMs`. */
  | {
      readonly kind: "shard";
      readonly attempt: number;
      readonly step: number;
      readonly round: RoundKind;
      readonly result: ShardResult;
      readonly computeMs: number;
      /** Of the parameters behind the last shard on the list; undefined behind the others. */
      readonly parameterChecksum: number | undefined;
    }
  /** The finished sum is here. */
  | {
      readonly kind: "summed";
      readonly attempt: number;
      readonly step: number;
      readonly trial: number;
      readonly sumChecksum: number;
      readonly exchangeMs: number;
    }
  /** `step` is the state reached. */
  | { readonly kind: "applied"; readonly step: number; readonly parameterChecksum: number }
  | {
      readonly kind: "saved";
      readonly what: "checkpoint" | "weights";
      readonly step: number;
      readonly parameterDigest: string;
      readonly bytes: number;
    }
  | {
      readonly kind: "save-failed";
      readonly what: "checkpoint" | "weights";
      readonly step: number;
      readonly message: string;
    }
  /**
   * How it stands, every 500 ms: addresses that the exchange waits for, age of the last round trip
   * to NATS or -1, memory, and how long the device has been at what it does now, or -1.
   */
  | {
      readonly kind: "exchanging";
      readonly waitingFor: readonly string[];
      readonly natsAgeMs: number;
      readonly residentBytes: number;
      readonly unitMs: number;
    }
  | { readonly kind: "failed"; readonly cause: FailureCause; readonly message: string }
  | {
      readonly kind: "log";
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: Readonly<Record<string, string | number | boolean>>;
    }
  | { readonly kind: "exited"; readonly code: number | null; readonly signal: string | null };

/** To the child process. */
export type ChildCommand =
  | {
      readonly kind: "prepare";
      readonly order: JobOrder;
      /** Of the coordinator that gave the order; it is noted in checkpoints. */
      readonly term: number;
      readonly nats: NatsAccess;
      readonly store: string;
      /** This worker's inbox for exchange frames. */
      readonly address: string;
    }
  /** Drops what is under way of a round and takes another state. */
  | { readonly kind: "load"; readonly step: number; readonly source: StateSource }
  | { readonly kind: "offer"; readonly step: number }
  /** Appends the shards to the work list of the round; `first` begins a round and drops the list of the one before. */
  | {
      readonly kind: "compute";
      readonly attempt: number;
      readonly step: number;
      readonly round: RoundKind;
      readonly shards: readonly number[];
      /** Shards whose gradients go nowhere. */
      readonly checks: readonly Check[];
      readonly first: boolean;
    }
  /** Begins or regroups the exchange of the round; training only. */
  | {
      readonly kind: "deal";
      readonly attempt: number;
      readonly generation: number;
      readonly step: number;
      readonly trial: number;
      readonly shardCount: number;
      readonly members: readonly RoundMember[];
      readonly followers: readonly string[];
    }
  /**
   * Drops what is left of the work list and applies the finished sum of `step`, for a follower as soon as state and sum are
   * there, and only if it has this checksum. Undefined: nobody knows any more what was decided.
   */
  | {
      readonly kind: "apply";
      readonly step: number;
      readonly save: boolean;
      readonly sumChecksum: number | undefined;
    }
  | { readonly kind: "save"; readonly what: "checkpoint" | "weights" }
  | { readonly kind: "close" };

export type MemberAction =
  /** Start a process and give it `prepare` as its first command. */
  | { readonly kind: "start-child"; readonly order: JobOrder }
  | { readonly kind: "to-child"; readonly command: ChildCommand }
  /** Kill the child's process; `exited` follows. */
  | { readonly kind: "kill-child"; readonly reason: string }
  | { readonly kind: "to-coordinator"; readonly event: WorkerEvent }
  /** End the stream and connect again. */
  | { readonly kind: "reconnect"; readonly reason: string }
  | { readonly kind: "start-task"; readonly taskId: string; readonly task: Task }
  | { readonly kind: "stop-task"; readonly taskId: string }
  /** Something for the worker's own log. */
  | { readonly kind: "note"; readonly level: LogLevel; readonly message: string }
  /** End the process. */
  | ({ readonly kind: "quit" } & Leaving);

/**
 * Why a worker ends: it was asked to, its stream was refused for what will not change, the
 * coordinator has no use for it, or there was no coordinator for too long.
 */
export interface Leaving {
  readonly how: "left" | "refused" | "dismissed" | "orphaned";
  readonly reason: string;
}
