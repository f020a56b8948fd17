import type { FleetCommand, FleetOptions, Origin } from "./fleetEvent.js";
import type { Opinion } from "./judgement.js";
import type {
  Check,
  HeldState,
  RoundKind,
  ShardResult,
  StateSource,
  Task,
  WorkerEvent,
} from "./message.js";
import type { JobRecords } from "./jobRecords.js";
import type { JobRecord } from "./record.js";
import type { Range } from "../plan/tree.js";

/** All that the coordinator knows. Times are of the awake clock; see clock.ts. */
export interface Fleet {
  readonly options: FleetOptions;
  readonly clock: Clock;
  /** By worker id; lost ones too, until they are forgotten. */
  readonly members: ReadonlyMap<string, Member>;
  readonly records: JobRecords;
  /** What is kept of each open record, and since when. */
  readonly kept: ReadonlyMap<string, { readonly record: JobRecord; readonly atMs: number }>;
  /** The coordinator's own connection to NATS, and when it was last known to be away. */
  readonly nats: { readonly isUp: boolean; readonly awayMs: number };
  /** By name: the jobs under way. A worker is at work on one of them at most. */
  readonly runs: ReadonlyMap<string, Run>;
  readonly tasks: ReadonlyMap<string, TaskState>;
  /** By job whose record is open, or whose log tells more than its record: which lines the log has. Of the others it has all. */
  readonly logged: ReadonlyMap<string, LoggedLines>;
}

/** How far a job's log tells of its steps and evaluations; later lines are not written yet. */
export interface LoggedLines {
  readonly step: number;
  /** Whether the evaluation of that very step is there. */
  readonly hasEvaluation: boolean;
}

export interface Clock {
  /** Time awake since the start: leases and deadlines run on it. */
  readonly awakeMs: number;
  /** What a pause of the coordinator counts for, at the next tick. */
  readonly owedMs: number;
  /** The monotonic clock at the last event. */
  readonly lastMs: number;
  readonly wallMs: number;
}

export type Hello = Extract<WorkerEvent, { readonly kind: "hello" }>;
export type Beat = Extract<WorkerEvent, { readonly kind: "beat" }>;

/** One worker process, as long as it lives. */
export interface Member {
  readonly workerId: string;
  readonly incarnation: string;
  readonly hello: Hello;
  readonly origin: Origin;
  readonly link:
    | { readonly kind: "connected" }
    | { readonly kind: "disconnected"; readonly sinceMs: number }
    | { readonly kind: "lost"; readonly sinceMs: number; readonly reason: string };
  readonly heardMs: number;
  readonly beat: Beat | undefined;
  readonly beatMs: number;
  /** Since when its beats tell of no answer from NATS; undefined while there is one. */
  readonly natsSilentMs: number | undefined;
  /** Told to end its child for this job, and not yet done. */
  readonly closing:
    { readonly job: string; readonly reason: string; readonly sinceMs: number } | undefined;
  /** It is to end as soon as nothing is lost by it: why, since when, and the step that its job was at. */
  readonly leaving:
    { readonly reason: string; readonly sinceMs: number; readonly step: number } | undefined;
  /** The last reason that it was told for waiting as a spare. */
  readonly spare: string;
  /** Incarnations that had the name before; the oldest are forgotten. */
  readonly superseded: readonly string[];
  /** The last other process that wanted the name, and since when it is put off. */
  readonly rival: { readonly incarnation: string; readonly sinceMs: number } | undefined;
}

/**
 * A job under way. How far it has come is in its record; all else is forgotten when the coordinator
 * ends. Who computed wrongly, too: it is found again where it happens again, before anything of it is
 * committed. And ties: each start of a coordinator gives a few rewinds more, and no wrong number.
 */
export interface Run {
  readonly job: string;
  readonly phase: Phase;
  /** Cancelled: nothing more is committed. */
  readonly cancelled: boolean;
  /** It is to go back to the queue where it would be cancelled: others need its workers more. */
  readonly suspended: boolean;
  /** By worker id: the job that it is given up for at the next boundary. */
  readonly yields: ReadonlyMap<string, string>;
  /** Workers with a child for this attempt. */
  readonly participants: ReadonlyMap<string, Participant>;
  /** By incarnation: why it may not take part in this attempt. */
  readonly setAside: ReadonlyMap<string, string>;
  /** By incarnation: how often it failed to join in this attempt, and the step from which it may try again. */
  readonly joins: ReadonlyMap<string, { readonly failures: number; readonly notBefore: number }>;
  /** By worker id: how often its child failed in this run, and how last. */
  readonly strikes: ReadonlyMap<string, Strikes>;
  /** Incarnations whose state is of no use to the attempt: it is wrong, or nobody could take it. */
  readonly givenUp: ReadonlySet<string>;
  /** By worker: the checksums that it has said the parameters of state `record.step` have. */
  readonly stated: ReadonlyMap<string, readonly number[]>;
  /** By incarnation: why it is not asked again, in any attempt of this run: it computed wrongly. */
  readonly distrusted: ReadonlyMap<string, string>;
  /** By incarnation: at which step its parameters were found wrong, and it took a copy of the others'. */
  readonly repaired: ReadonlyMap<string, number>;
  /** Worker id of who wrote the newest checkpoint; empty where this coordinator has not heard it. */
  readonly savedBy: string;
  /** How often nobody could say whose parameters were right. */
  readonly ties: number;
  /** Ranges that members were dealt of the next round before, as by an earlier coordinator. */
  readonly inherited: ReadonlyMap<string, readonly Range[]>;
  readonly pace: Pace;
  readonly keeper: Keeper | undefined;
  /** The last reason that was logged for which a checkpoint could not be written; empty once one was. */
  readonly saveProblem: string;
}

/** Who was told to keep the state of a commit beside the training, until it has and that is judged. */
export interface Keeper {
  readonly workerId: string;
  readonly step: number;
  readonly isSaved: boolean;
}

export interface Strikes {
  readonly count: number;
  readonly message: string;
  readonly atMs: number;
  /** When it may be asked again. */
  readonly untilMs: number;
}

export interface Participant {
  readonly workerId: string;
  readonly stage: Stage;
  /** Digest of its probe, once prepared. */
  readonly probe: string;
}

export type Stage =
  | { readonly kind: "preparing"; readonly deadlineMs: number }
  /** Prepared, and holds no state of use. */
  | { readonly kind: "ready" }
  | {
      readonly kind: "loading";
      readonly step: number;
      readonly source: StateSource;
      readonly deadlineMs: number;
    }
  | { readonly kind: "loaded"; readonly parameterChecksum: number; readonly deadlineMs: number }
  /** Takes state `step` from `donor` and follows the rounds from there on. */
  | {
      readonly kind: "following";
      readonly step: number;
      /** The first round that it has had all the time of: its first one, or the next where that was under way. */
      readonly since: number;
      readonly donor: string;
      /** The generation in which it began: what it says of an earlier one it says as what it was then. */
      readonly generation: number;
      /** The state that it has last said to hold. */
      readonly held: { readonly step: number; readonly parameterChecksum: number } | undefined;
      /** Checksum of the sum of that state's round, once it has that as well. */
      readonly sum: number | undefined;
    }
  /** Was lost, and is back with the state: it may be the only one that has it; see reserve.ts. */
  | { readonly kind: "reserve"; readonly held: HeldState; readonly sinceMs: number }
  /** Holds the state of `record.step`, or has been told to apply the step before. */
  | { readonly kind: "member" };

export type Following = Extract<Stage, { readonly kind: "following" }>;

export type Phase =
  /** Workers get ready. `enoughSinceMs`: since when there are as many as the job needs. */
  | { readonly kind: "gathering"; readonly enoughSinceMs: number | undefined }
  /** The first members take the first state. */
  | {
      readonly kind: "loading";
      /** By worker: why it cannot use the checkpoint. */
      readonly unreadable: ReadonlyMap<string, string>;
    }
  /** No round is under way; what comes next is decided, or waits for more workers. */
  | { readonly kind: "boundary" }
  | PartingPhase
  /** Joiners take the members' state from `donor`. */
  | { readonly kind: "joining"; readonly donor: string; readonly joined: readonly string[] }
  | RoundPhase
  | JudgingPhase
  | SavingPhase
  /** All children end; then the job is `outcome`. */
  | { readonly kind: "releasing"; readonly outcome: Outcome }
  | RecoveringPhase;

export interface Outcome {
  readonly state: "done" | "failed" | "cancelled" | "queued";
  readonly reason: string;
}

export interface RoundPhase {
  readonly kind: "round";
  readonly round: RoundKind;
  readonly shardCount: number;
  readonly startedMs: number;
  /** Since when all members have reported and only followers are waited for. */
  readonly completeSinceMs: number | undefined;
  /** By rank: the ranges dealt in the present generation. */
  readonly dealt: ReadonlyMap<string, readonly Range[]>;
  /** By shard: the one result that counts, and who gave it first. */
  readonly results: ReadonlyMap<
    number,
    { readonly result: ShardResult; readonly workerId: string }
  >;
  /** By shard: all that was ever computed of it, checks too. */
  readonly opinions: ReadonlyMap<number, readonly Opinion[]>;
  /** By worker: what it was asked to check. */
  readonly checks: ReadonlyMap<string, readonly Check[]>;
  /** The generation in which the sum was last begun anew, or 0. */
  readonly trial: number;
  /** How often it was because the sums differed. */
  readonly sumsTried: number;
  /** By worker: checksum of the finished sum. */
  readonly sums: ReadonlyMap<string, number>;
  /** By worker: shards finished as last beaten, and since when. */
  readonly progress: ReadonlyMap<string, { readonly done: number; readonly sinceMs: number }>;
  /** How many began the round, and how many of them a deadline has removed. */
  readonly begunWith: number;
  readonly removed: number;
  /** Whom it waits for past the deadline, once that is in the log. */
  readonly toldOf: string;
  /** Worker ids that have begun to follow from this round's state on. */
  readonly followed: readonly string[];
}

/** Members that leave are held until one who stays has said that it holds the state. */
export interface PartingPhase {
  readonly kind: "parting";
  readonly sinceMs: number;
}

/** What members say of the present state is waited for, and judged, before it is saved. */
export interface JudgingPhase {
  readonly kind: "judging";
  readonly what: SavingPhase["what"];
  readonly sinceMs: number;
}

export interface SavingPhase {
  readonly kind: "saving";
  readonly what: "checkpoint" | "weights";
  readonly saver: string;
  readonly deadlineMs: number;
  /** Worker ids that were asked since the last pause and could not write it. */
  readonly failed: readonly string[];
  /** Nobody could: when it is tried again. */
  readonly pausedUntilMs: number | undefined;
}

/** Nobody is known to hold the state; those who do may say so. */
export interface RecoveringPhase {
  readonly kind: "recovering";
  readonly sinceMs: number;
  /** Whether the coordinator has just started: who followed or was lost before may hold the state unknown to it. */
  readonly isAtStart: boolean;
  /** Worker ids that may hold it; undefined where nobody knows: anyone. */
  readonly awaited: ReadonlySet<string> | undefined;
  /** Those of them that nobody is ahead of, if they hold it. */
  readonly newest: ReadonlySet<string>;
  /** By worker id: who said what it holds; also those who were lost again and may come back. */
  readonly holders: ReadonlyMap<string, HeldState>;
}

/** How fast things go, smoothed; undefined before the first figures. */
export interface Pace {
  readonly stepMs: number | undefined;
  /** From one commit to the next, of the newest steps, with whatever came between. */
  readonly commitGapsMs: readonly number[];
  /** When the last step was committed, by the clock that sleeps with us. */
  readonly committedMs: number | undefined;
  readonly exchangeMs: number | undefined;
  /** The slowest worker's time for one shard. */
  readonly shardMs: number | undefined;
  /** By worker: its time for one shard of an evaluation. */
  readonly evaluationMs: ReadonlyMap<string, number>;
  /** By worker: shards per ms. */
  readonly speeds: ReadonlyMap<string, number>;
  /** By worker: how many shards of a step it was dealt last. */
  readonly shares: ReadonlyMap<string, number>;
}

export interface TaskState {
  readonly task: Task;
  /** Who works on it, by id and incarnation. */
  readonly worker: { readonly workerId: string; readonly incarnation: string } | undefined;
  /** Since when it waits for a worker. */
  readonly sinceMs: number;
}

/** What has become of the fleet so far in one event, and the commands that go with it. */
export interface Transition {
  readonly fleet: Fleet;
  readonly commands: readonly FleetCommand[];
  /** The job that the rules are about; empty for none. */
  readonly job: string;
}
