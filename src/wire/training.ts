/** What clients and coordinator say to each other, as checked values. */
import type { LineEvent } from "../control/fleetEvent.js";
import type { LogLevel } from "../control/message.js";
import type { JobRequest, JobSettings } from "../job/settings.js";

export type { JobStatus, WorkerState, WorkerStatus } from "../control/view.js";

export interface SubmitRequest {
  readonly settings: JobRequest;
  /** Chosen by the client; the same request under the same id again is answered alike. */
  readonly requestId: string;
}

/** What a job will be, for people and programs. */
export interface Preview {
  readonly settings: JobSettings;
  /** For people, a line each. */
  readonly lines: readonly string[];
  readonly classes: readonly string[];
  readonly trainingExamples: number;
  readonly validationExamples: number;
  readonly indexDigest: string;
}

export interface PreviewUpdate {
  readonly picturesRead: number;
  /** 0 while unknown. */
  readonly pictures: number;
  /** In the last update only. */
  readonly preview: Preview | undefined;
}

export interface JobToRemove {
  readonly name: string;
  /** Leaves the weights in the store. */
  readonly keepWeights: boolean;
}

export interface LogsRequest {
  readonly name: string;
  /** Only lines with a greater sequence; 0 for all. */
  readonly afterSequence: number;
  readonly follow: boolean;
}

export interface LogLine {
  readonly sequence: number;
  readonly timeMs: number;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
  /** What the line tells of, where programs may want to know; its text is for people. */
  readonly event?: LineEvent;
}

/** A piece of a file, in order. */
export interface Chunk {
  readonly data: Uint8Array;
  readonly totalBytes: number;
}

/** Bytes on their way into the store: hash and size come with the first part of a blob, and are "" and 0 in the others. */
export interface BlobPart {
  /** In hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
  readonly data: Uint8Array;
}

/** The pages list the pictures; see src/data/dataPages.ts. */
export interface DataCommit {
  readonly name: string;
  readonly pages: readonly string[];
  readonly ignoredFiles: number;
}

/** A data set that was pushed. */
export interface DataSetStatus {
  readonly name: string;
  readonly classes: number;
  readonly pictures: number;
  readonly bytes: number;
  readonly ignoredFiles: number;
}

export interface DataCommitted {
  /** Blobs that have to be sent (again) first. */
  readonly missing: number;
  readonly set: DataSetStatus | undefined;
}

/** The first part names the job; a picture begins with a part that names it, its bytes follow. */
export interface PredictPart {
  readonly job: string;
  readonly picture: string;
  readonly data: Uint8Array;
}

export interface Prediction {
  readonly picture: string;
  /** Best first. */
  readonly scores: readonly { readonly className: string; readonly probability: number }[];
  /** Why there are no scores. */
  readonly problem?: string;
}
