/** What clients and coordinator say to each other, as checked values. */
import type { EvaluationResult, JobState } from "../control/record.js";
import type { LogLevel } from "../control/message.js";
import type { JobRequest, JobSettings } from "../job/settings.js";

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

export interface JobStatus {
  readonly name: string;
  readonly state: JobState;
  /** Why it is in this state; empty where nothing needs saying. */
  readonly reason: string;
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  /** Mean loss of the last step. */
  readonly loss: number | undefined;
  readonly rate: number;
  readonly imagesPerSecond: number;
  /** -1 while unknown. */
  readonly secondsLeft: number;
  readonly workers: number;
  readonly generation: number;
  readonly attempt: number;
  /** SHA-256 of the exported parameters in the order of their npz names; empty before there are any. */
  readonly parameterDigest: string;
  readonly classes: readonly string[];
  readonly evaluations: readonly EvaluationResult[];
  readonly settings: JobSettings;
  /** Wall clock; 0 before it has happened. */
  readonly createdMs: number;
  readonly startedMs: number;
  readonly endedMs: number;
  /** Name of the weights in the store; empty before there are any. */
  readonly weights: string;
  readonly batch: number;
  readonly checkpointStep: number;
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
}

export type WorkerState = "idle" | "preparing" | "working" | "spare" | "lost";

export interface WorkerStatus {
  readonly id: string;
  readonly incarnation: string;
  readonly host: string;
  readonly device: string;
  readonly state: WorkerState;
  /** Why it is a spare or lost; empty otherwise. */
  readonly reason: string;
  /** The job it works on; empty for none. */
  readonly job: string;
  readonly phase: string;
  readonly numerics: string;
  readonly imagesPerSecond: number;
  readonly residentBytes: number;
  readonly lastBeatAgeMs: number;
}

/** A piece of a file, in order. */
export interface Chunk {
  readonly data: Uint8Array;
  readonly totalBytes: number;
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
}
