import type {
  LogLevel,
  NatsAccess,
  Task,
  TaskEvent,
  WorkerCommand,
  WorkerEvent,
} from "./message.js";
import type { JobRecord } from "./record.js";

/**
 * What the coordinator's shell tells the fleet, and what it does for it.
 *
 * The shell keeps three rules. Commands are carried out in order, and nothing is sent before the
 * records ahead of it are kept. Of an incarnation with two streams only the newer one is heard:
 * its `hello` ends the older, whose later events and end are not passed on. A command for a stream
 * that is gone is dropped; the fleet says again what matters when the worker is back.
 */
export type FleetEvent = FleetHappening & {
  /** The coordinator's monotonic clock. */
  readonly nowMs: number;
  /** The wall clock, for what people read. */
  readonly wallMs: number;
};

/** Where a stream comes from, as the server knows it, whatever the worker says. */
export interface Origin {
  /** Name of its token; empty where none is asked for, and of a worker whose token is no more. */
  readonly token: string;
  /** Network address of its other end. */
  readonly address: string;
}

export type FleetHappening =
  | {
      /** The first event of a stream is a `hello`. */
      readonly kind: "worker";
      readonly workerId: string;
      readonly incarnation: string;
      readonly origin: Origin;
      readonly event: WorkerEvent;
    }
  /** Nobody is known by a token of that name any more. */
  | { readonly kind: "token-revoked"; readonly token: string }
  | { readonly kind: "disconnected"; readonly workerId: string; readonly incarnation: string }
  /** The coordinator's own connection to NATS is lost, or there again. */
  | { readonly kind: "nats"; readonly isUp: boolean }
  /** Every `tickMs`. */
  | { readonly kind: "tick" }
  /** A record from `queuedRecord`; its `order` is set by the fleet. */
  | { readonly kind: "submit"; readonly record: JobRecord }
  /** No record of the job as it stands can be kept. */
  | { readonly kind: "unwritable"; readonly job: string; readonly problem: string }
  | { readonly kind: "cancel"; readonly job: string }
  | { readonly kind: "resume"; readonly job: string }
  /** The job, which has ended, is known no more. */
  | { readonly kind: "remove"; readonly job: string }
  /** Asks the worker to finish or hand over, and to leave. */
  | { readonly kind: "drain"; readonly workerId: string }
  | { readonly kind: "task"; readonly taskId: string; readonly task: Task }
  | { readonly kind: "cancel-task"; readonly taskId: string };

export type FleetCommand =
  | {
      readonly kind: "send";
      readonly workerId: string;
      readonly incarnation: string;
      readonly command: WorkerCommand;
    }
  /** End that stream. */
  | {
      readonly kind: "close";
      readonly workerId: string;
      readonly incarnation: string;
      readonly reason: string;
    }
  /** Keep the record; the latest wins. */
  | { readonly kind: "record"; readonly record: JobRecord }
  /** A line of the job's log, or of the coordinator's own where `job` is empty. */
  | {
      readonly kind: "log";
      readonly job: string;
      readonly level: LogLevel;
      readonly message: string;
      readonly fields: LogFields;
      /** Of a worker's own making: none of them may stand for one of ours. */
      readonly said?: LogFields;
      /** Only the coordinator's own lines have it: a later coordinator knows them again by it. */
      readonly event?: LineEvent;
    }
  | TaskEvent
  /**
   * Of the job's checkpoints up to that step delete all but the newest `keep`. Later ones, of an
   * attempt that was lost before they were known, do not count.
   */
  | {
      readonly kind: "discard";
      readonly job: string;
      readonly step: number;
      readonly keep: number;
    };

/** What a line tells of, for programs: that a step was made, with `step` among its fields, or how an evaluation of it came out. */
export type LineEvent = (typeof lineEvents)[number];
export const lineEvents = ["step", "evaluation"] as const;

export type LogFields = Readonly<Record<string, string | number | boolean>>;

export interface FleetOptions {
  /** This coordinator's term: one more than any seen before. */
  readonly term: number;
  readonly nats: NatsAccess;
  readonly store: string;
  /** The line that starts a worker here, for messages to people. */
  readonly joinLine: string;
  /** A worker that says nothing for this long is lost. */
  readonly leaseMs: number;
  readonly beatMs: number;
  /** A worker whose stream ends may come back within this time as if nothing had been. */
  readonly reconnectMs: number;
  /** Workers that hold a state that nobody here knows to be held have this long to come back. */
  readonly returnMs: number;
  /** Where nobody else holds the state, one that may be alive has this long to come back with it. */
  readonly goneMs: number;
  /** Time between ticks. */
  readonly tickMs: number;
  /** A worker may take this long to get ready for a job. */
  readonly prepareMs: number;
  /** Once enough workers are ready, a start waits this long for the others. */
  readonly gatherMs: number;
  /** A worker may take this long to take a state from the store. */
  readonly loadMs: number;
  /** A joiner may hold up the others for this long while it takes their state. */
  readonly joinMs: number;
  readonly saveMs: number;
  /** What nobody could write is tried again after this time. */
  readonly saveRetryMs: number;
  /** The last holder of a state that leaves waits so long for another to take it over. */
  readonly handOverMs: number;
  /** A worker that has not ended its child by then is lost. */
  readonly releaseMs: number;
  /** A round's worker that reports no progress for this long is lost; see progress.ts. */
  readonly firstUnitMs: number;
  /** However short its units are. */
  readonly unitFloorMs: number;
  /** A task waits this long for a worker to connect. */
  readonly taskWaitMs: number;
  /** A record in which only the step changed is kept this often. */
  readonly recordMs: number;
  /** A lost worker is shown for this long. */
  readonly forgetMs: number;
  /** So many workers of one token are members at once, and so many are known. */
  readonly liveMax: number;
  readonly knownMax: number;
}

export const fleetTimes = {
  // With a tick and a beat on its way, silence is noticed within 5 s.
  leaseMs: 4_500,
  beatMs: 500,
  reconnectMs: 1_000,
  returnMs: 2_500,
  // Waiting costs little beside the steps that a rewind costs, and a new process of the same name ends the wait at once.
  goneMs: 60_000,
  tickMs: 250,
  prepareMs: 600_000,
  gatherMs: 30_000,
  loadMs: 600_000,
  joinMs: 120_000,
  saveMs: 600_000,
  saveRetryMs: 5_000,
  handOverMs: 10_000,
  releaseMs: 30_000,
  firstUnitMs: 600_000,
  unitFloorMs: 5_000,
  taskWaitMs: 5_000,
  recordMs: 1_000,
  forgetMs: 600_000,
  liveMax: 1_024,
  knownMax: 4_096,
} as const;
