/** The messages of training.proto <-> the values of training.ts. */
import { bitfleet } from "#proto";
import { lineEvents } from "../control/fleetEvent.js";
import type { EvaluationResult } from "../control/record.js";
import { cutBytes } from "../job/cutText.js";
import {
  classesMax,
  evaluationsMax,
  pictureNameMax,
  pictureProblemMax,
  predictLimits,
  scoresMax,
} from "../job/limits.js";
import {
  amount,
  check,
  codec,
  count,
  cut,
  label,
  list,
  messageBytesMax,
  optionalToken,
  present,
  storeName,
  text,
  token,
  word,
} from "./codec.js";
import { decodeFields, encodeFields } from "./fields.js";
import { jobStates } from "../control/record.js";
import { fromRequest, fromSettings, toSettings } from "./settings.js";
import type {
  Chunk,
  JobStatus,
  JobToRemove,
  LogLine,
  LogsRequest,
  PredictPart,
  Prediction,
  Preview,
  PreviewUpdate,
  SubmitRequest,
  WorkerState,
  WorkerStatus,
} from "./training.js";
import { levels } from "./workerEvent.js";

const { v1 } = bitfleet;

/** The newest of a list that has to fit into one message. */
const jobsMax = 2_000;
const workersMax = 10_000;
/** Of the sentences of all workers in a list. */
const listedTextBytes = 500_000;
const linesMax = 256;
/** A part of a picture, or of weights on their way out. */
export const partBytesMax = 1024 * 1024;
const fileBytesMax = 2 ** 40;

const workerStates: readonly WorkerState[] = [
  "idle",
  "preparing",
  "working",
  "leaving",
  "spare",
  "lost",
];

export const empty = codec(
  "ListJobsRequest",
  v1.ListJobsRequest,
  () => ({}),
  () => undefined,
);

export const submitRequest = codec(
  "SubmitRequest",
  v1.SubmitRequest,
  ({ settings, requestId }: SubmitRequest) => ({ settings: toSettings(settings), requestId }),
  (message): SubmitRequest => ({
    settings: fromRequest(present(message.settings, "settings")),
    requestId: token(message.requestId, "request id"),
  }),
);

export const previewUpdate = codec(
  "PreviewUpdate",
  v1.PreviewUpdate,
  ({ preview, ...progress }: PreviewUpdate) => ({
    ...progress,
    preview: preview === undefined ? null : toPreview(preview),
  }),
  ({ picturesRead, pictures, preview }): PreviewUpdate => ({
    picturesRead: count(picturesRead, "pictures read"),
    pictures: count(pictures, "pictures"),
    preview: preview ? fromPreview(preview) : undefined,
  }),
);

function toPreview(preview: Preview): bitfleet.v1.Preview.$Properties {
  return {
    ...preview,
    settings: toSettings(preview.settings),
    lines: preview.lines.map((line) => cut(line)),
    classes: [...preview.classes],
  };
}

function fromPreview(message: bitfleet.v1.Preview.$Properties): Preview {
  return {
    settings: fromSettings(present(message.settings, "settings")),
    lines: list(message.lines, "lines", linesMax, (line) => text(line, "line")),
    classes: list(message.classes, "classes", classesMax, className),
    trainingExamples: count(message.trainingExamples, "training examples"),
    validationExamples: count(message.validationExamples, "validation examples"),
    indexDigest: token(message.indexDigest, "index digest"),
  };
}

export const jobName = codec(
  "JobName",
  v1.JobName,
  (name: string) => ({ name }),
  ({ name }) => label(name, "job"),
);

export const jobToRemove = codec(
  "JobToRemove",
  v1.JobToRemove,
  (value: JobToRemove) => value,
  ({ name, keepWeights }): JobToRemove => ({ name: label(name, "job"), keepWeights }),
);

export const jobRemoved = codec(
  "JobRemoved",
  v1.JobRemoved,
  (files: number) => ({ files }),
  ({ files }) => count(files, "files"),
);

export const jobStatus = codec("JobStatus", v1.JobStatus, toJobStatus, fromJobStatus);

/** In the list a job has its last evaluation only, and no classes, whoever has sent it; the newest, as many as fit. */
export const jobList = codec(
  "JobList",
  v1.JobList,
  (jobs: readonly JobStatus[]) => {
    const messages = jobs.slice(-jobsMax).map(brief).map(toJobStatus);
    return { jobs: lastThatFit(messages, (job) => v1.JobStatus.encode(job).finish().length) };
  },
  ({ jobs }) => list(jobs, "jobs", jobsMax, (job) => brief(fromJobStatus(job))),
);

/** The last of what has to fit into one message. */
function lastThatFit<T>(messages: readonly T[], bytesOf: (message: T) => number): T[] {
  let bytes = 0;
  let first = messages.length;
  for (; first > 0; first -= 1) {
    const message = messages[first - 1];
    bytes += message === undefined ? 0 : bytesOf(message) + entryBytes;
    if (bytes > messageBytesMax) break;
  }
  return messages.slice(first);
}

/** Tag and length of an entry of a list. */
const entryBytes = 6;

function brief(status: JobStatus): JobStatus {
  return { ...status, classes: [], evaluations: status.evaluations.slice(-1) };
}

function toJobStatus(status: JobStatus): bitfleet.v1.JobStatus.$Properties {
  return {
    ...status,
    reason: cut(status.reason),
    loss: status.loss ?? null,
    classes: [...status.classes],
    evaluations: [...status.evaluations],
    settings: toSettings(status.settings),
  };
}

function fromJobStatus(message: bitfleet.v1.JobStatus.$Properties): JobStatus {
  return {
    name: label(message.name, "job"),
    state: word(message.state, jobStates, "state"),
    reason: text(message.reason, "reason"),
    step: count(message.step, "step"),
    steps: count(message.steps, "steps"),
    epoch: count(message.epoch, "epoch"),
    // A loss may have become infinite, or no number at all.
    loss: message.loss ?? undefined,
    rate: amount(message.rate, "rate"),
    imagesPerSecond: amount(message.imagesPerSecond, "images per second"),
    secondsLeft: amount(message.secondsLeft, "seconds left", -1),
    workers: count(message.workers, "workers"),
    generation: count(message.generation, "generation"),
    attempt: count(message.attempt, "attempt"),
    parameterDigest: optionalToken(message.parameterDigest, "parameter digest"),
    classes: list(message.classes, "classes", classesMax, className),
    evaluations: list(message.evaluations, "evaluations", evaluationsMax, evaluation),
    settings: fromSettings(present(message.settings, "settings")),
    createdMs: amount(message.createdMs, "time of creation"),
    startedMs: amount(message.startedMs, "time of the start"),
    endedMs: amount(message.endedMs, "time of the end"),
    weights: (message.weights ?? "") === "" ? "" : storeName(message.weights, "weights"),
    batch: count(message.batch, "batch"),
    checkpointStep: count(message.checkpointStep, "checkpoint step"),
    workerUse: amount(message.workerUse, "use of the workers"),
    straggler: optionalToken(message.straggler, "straggler"),
    stragglerTimes: amount(message.stragglerTimes, "times of the straggler"),
  };
}

function evaluation(message: bitfleet.v1.Evaluation.$Properties): EvaluationResult {
  const total = count(message.total, "examples");
  return {
    step: count(message.step, "step"),
    correct: count(message.correct, "correct", total),
    total,
    loss: message.loss ?? 0,
  };
}

export const logsRequest = codec(
  "LogsRequest",
  v1.LogsRequest,
  (request: LogsRequest) => request,
  (message): LogsRequest => ({
    name: label(message.name, "job"),
    afterSequence: count(message.afterSequence, "sequence"),
    follow: message.follow,
  }),
);

export const logLine = codec(
  "LogLine",
  v1.LogLine,
  ({ fields, message, event, ...line }: LogLine) => ({
    ...line,
    event: event ?? "",
    message: cut(message),
    fieldsJson: encodeFields(fields),
  }),
  (line): LogLine => ({
    sequence: count(line.sequence, "sequence"),
    timeMs: amount(line.timeMs, "time"),
    level: word(line.level, levels, "level"),
    message: text(line.message, "message"),
    fields: decodeFields(line.fieldsJson),
    ...(line.event !== "" && { event: word(line.event, lineEvents, "event") }),
  }),
);

export const workerList = codec(
  "WorkerList",
  v1.WorkerList,
  (workers: readonly WorkerStatus[]) => {
    // Of many, each has less room for its sentences, so that all of them fit.
    const room = Math.max(8, Math.min(4096, Math.floor(listedTextBytes / workers.length / 3)));
    return { workers: workers.slice(0, workersMax).map((worker) => listedWorker(worker, room)) };
  },
  ({ workers }) => list(workers, "workers", workersMax, workerStatus),
);

function listedWorker(worker: WorkerStatus, room: number): WorkerStatus {
  const { reason, numerics, host, device, phase } = worker;
  return {
    ...worker,
    reason: cutBytes(reason, room),
    numerics: cutBytes(numerics, Math.min(room, 1024)),
    host: cutBytes(host, Math.min(room, 255)),
    device: cutBytes(device, Math.min(room, 255)),
    phase: cutBytes(phase, Math.min(room, 255)),
  };
}

export const workerName = codec(
  "WorkerName",
  v1.WorkerName,
  (id: string) => ({ id }),
  ({ id }) => token(id, "worker id"),
);

export const oneWorker = codec(
  "WorkerStatus",
  v1.WorkerStatus,
  (worker: WorkerStatus) => ({ ...worker, reason: cut(worker.reason) }),
  workerStatus,
);

export const workerCount = codec(
  "WorkerCount",
  v1.WorkerCount,
  (workers: number) => ({ workers }),
  ({ workers }) => count(workers, "workers"),
);

function workerStatus(message: bitfleet.v1.WorkerStatus.$Properties): WorkerStatus {
  return {
    id: token(message.id, "worker id"),
    incarnation: token(message.incarnation, "incarnation"),
    host: text(message.host, "host", 255),
    device: text(message.device, "device", 255),
    state: word(message.state, workerStates, "state"),
    reason: text(message.reason, "reason"),
    job: (message.job ?? "") === "" ? "" : label(message.job, "job"),
    phase: text(message.phase, "phase", 256),
    numerics: text(message.numerics, "numerics", 1024),
    imagesPerSecond: amount(message.imagesPerSecond, "images per second"),
    residentBytes: amount(message.residentBytes, "resident bytes"),
    lastBeatAgeMs: amount(message.lastBeatAgeMs, "age of the last beat", -1),
  };
}

export const chunk = codec(
  "Chunk",
  v1.Chunk,
  (value: Chunk) => value,
  ({ data, totalBytes }): Chunk => ({
    data: part(data),
    totalBytes: amount(totalBytes, "bytes", 0, fileBytesMax),
  }),
);

export const predictPart = codec(
  "PredictPart",
  v1.PredictPart,
  (value: PredictPart) => value,
  ({ job, picture, data }): PredictPart => ({
    job: job === "" ? "" : label(job, "job"),
    picture: text(picture, "name of a picture", pictureNameMax),
    data: part(data),
  }),
);

export const predictReply = codec(
  "PredictReply",
  v1.PredictReply,
  (predictions: readonly Prediction[]) => ({
    predictions: predictions.map(({ picture, scores, problem }) => ({
      ...{ picture, scores: [...scores], problem: problem ?? "" },
    })),
  }),
  ({ predictions }) => list(predictions, "predictions", predictLimits.pictures, prediction),
);

function prediction(message: bitfleet.v1.Prediction.$Properties): Prediction {
  const problem = text(message.problem, "problem of a picture", pictureProblemMax);
  return {
    ...(problem === "" ? {} : { problem }),
    picture: text(message.picture, "name of a picture", pictureNameMax),
    scores: list(message.scores, "scores", scoresMax, (score) => ({
      className: className(score.className ?? ""),
      probability: amount(score.probability, "probability", 0, 1 + 1e-6),
    })),
  };
}

/** A piece of a file is bounded, whichever it is of. */
export function part(data: Uint8Array): Uint8Array {
  check(data.length <= partBytesMax, `a part of ${data.length} bytes, ${partBytesMax} allowed`);
  return data;
}

function className(value: string): string {
  return text(value, "name of a class", 255);
}
