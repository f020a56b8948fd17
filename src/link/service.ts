/**
 * What coordinator code fills in and worker code calls, in plain values: no type of grpc leaks out of src/link.
 * The server turns what handlers throw into a status: ConfigError INVALID_ARGUMENT, NotFoundError NOT_FOUND,
 * FailureError FAILED_PRECONDITION, all with their sentence; anything else INTERNAL with a fixed text.
 */
import type { Origin } from "../control/fleetEvent.js";
import type { WorkerCommand, WorkerEvent } from "../control/message.js";
import type { CallBounds } from "./callBounds.js";
import type { ConnectionBounds } from "./connectionBounds.js";
import type { Callers } from "../job/roles.js";
import type { TlsFiles } from "../process/certificates.js";
import type {
  BlobPart,
  Chunk,
  DataCommit,
  DataCommitted,
  DataSetStatus,
  JobStatus,
  JobToRemove,
  LogLine,
  LogsRequest,
  PredictPart,
  Prediction,
  PreviewUpdate,
  SubmitRequest,
  WorkerStatus,
} from "../wire/training.js";
import type { ServerTls } from "./serverTls.js";

export type { ServerTls };

/**
 * The service for clients. A stream is pulled only as fast as the client reads it; `signal` aborts when the client has gone
 * or the server shuts down, and the stream is then left with `return()`.
 */
export interface TrainingHandlers {
  preview(request: SubmitRequest, signal: AbortSignal): AsyncIterable<PreviewUpdate>;
  submit(request: SubmitRequest): Promise<JobStatus>;
  listJobs(): Promise<readonly JobStatus[]>;
  getJob(name: string): Promise<JobStatus>;
  watchJob(name: string, signal: AbortSignal): AsyncIterable<JobStatus>;
  readLogs(request: LogsRequest, signal: AbortSignal): AsyncIterable<LogLine>;
  cancelJob(name: string): Promise<JobStatus>;
  resumeJob(name: string): Promise<JobStatus>;
  /** Answers with how many files of the store went. */
  removeJob(job: JobToRemove): Promise<number>;
  listWorkers(): Promise<readonly WorkerStatus[]>;
  drainWorker(id: string): Promise<WorkerStatus>;
  /** Answers with how many are to run now. */
  scaleWorkers(workers: number): Promise<number>;
  exportWeights(name: string, signal: AbortSignal): AsyncIterable<Chunk>;
  /** The parts in the order sent: the first names the job, a picture's name precedes its bytes. */
  predict(parts: AsyncIterable<PredictPart>, signal: AbortSignal): Promise<readonly Prediction[]>;
  /** Which of these SHA-256 no blob of the store has. */
  missingBlobs(hashes: readonly string[]): Promise<readonly string[]>;
  /** Answers with how many blobs were stored. */
  pushData(parts: AsyncIterable<BlobPart>): Promise<number>;
  commitData(commit: DataCommit): Promise<DataCommitted>;
  listData(): Promise<readonly DataSetStatus[]>;
  /** Answers with how many blobs were removed. */
  removeData(name: string): Promise<number>;
}

/** One worker's stream as the coordinator sees it. Events are checked values, in order, `hello` first. */
export interface WorkerSession {
  /** Address of the other end, for logs. */
  readonly peer: string;
  /** What the server knows of the other end. */
  readonly origin: Origin;
  /** Queues a command. WireError: the worker would not take it. A worker that does not read what it is sent is closed once the queue is too long. */
  send(term: number, command: WorkerCommand): void;
  /** Ends the stream and tells the worker why. Nothing is received afterwards; `onClosed` follows. */
  close(reason: string): void;
  /** Events that came before the listener was set are kept for it. */
  onEvent(listener: (event: WorkerEvent) => void): void;
  /** Called exactly once, after the last event. */
  onClosed(listener: (reason: string) => void): void;
}

export interface ServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** undefined: no token is asked for, and only a loopback address may be bound. */
  readonly callers: Callers | undefined;
  /** undefined: all goes in the clear. */
  readonly tls?: ServerTls | undefined;
  readonly training: TrainingHandlers;
  readonly onSession: (session: WorkerSession) => void;
  /** The tests lower them. */
  readonly callBounds?: CallBounds;
  readonly connectionBounds?: ConnectionBounds;
  /** An error that no client is told about: our own bug. The default drops it. */
  readonly onError?: (error: unknown) => void;
}

export interface RunningServer {
  readonly host: string;
  readonly port: number;
  /** Ends every stream with the reason, waits for calls under way, then cuts off what is left. Never rejects. */
  close(reason: string): Promise<void>;
}

export interface SessionOptions {
  /** HOST:PORT of the coordinator. */
  readonly address: string;
  /** Empty: none. */
  readonly token: string;
  readonly tls?: TlsFiles | undefined;
  readonly onCommand: (term: number, command: WorkerCommand) => void;
  /**
   * Called exactly once, with a sentence. `refused`: trying again will not help (wrong token, another version of the
   * contract, an address that is none).
   */
  readonly onClosed: (reason: string, refused: boolean) => void;
}

/** The worker's end of its stream. Reconnecting is the caller's: open another one. */
export interface SessionClient {
  /** Queues an event; dropped after the end. WireError: the coordinator would not take it. */
  send(event: WorkerEvent): void;
  /** Half-closes after what is queued; `onClosed` follows. */
  close(): void;
  /** Ends stream and connection at once, as where the other side is not heard; `onClosed` follows. */
  cut(reason: string): void;
}
