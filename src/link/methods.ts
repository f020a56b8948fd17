/** The methods of proto/, by path and codecs: what a generated stub would say. */
import type { Codec } from "../wire/codec.js";
import {
  chunk,
  empty,
  jobList,
  jobName,
  jobStatus,
  logLine,
  logsRequest,
  oneWorker,
  predictPart,
  predictReply,
  previewUpdate,
  submitRequest,
  workerList,
  workerName,
} from "../wire/trainingCodecs.js";

export interface Method<Request, Response> {
  readonly path: string;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

export const trainingMethods = {
  preview: method("Preview", submitRequest, previewUpdate),
  submit: method("Submit", submitRequest, jobStatus),
  listJobs: method("ListJobs", empty, jobList),
  getJob: method("GetJob", jobName, jobStatus),
  watchJob: method("WatchJob", jobName, jobStatus),
  readLogs: method("ReadLogs", logsRequest, logLine),
  cancelJob: method("CancelJob", jobName, jobStatus),
  resumeJob: method("ResumeJob", jobName, jobStatus),
  listWorkers: method("ListWorkers", empty, workerList),
  drainWorker: method("DrainWorker", workerName, oneWorker),
  exportWeights: method("ExportWeights", jobName, chunk),
  predict: method("Predict", predictPart, predictReply),
} as const;

/** The workers' stream; its codecs are those of src/wire/workerEvent.ts and workerCommand.ts. */
export const sessionPath = "/bitfleet.v1.Fleet/Session";

/** For the receiving side of a call whose codecs run inside the call. */
export function asBytes(bytes: Buffer): Buffer {
  return bytes;
}

function method<Request, Response>(
  name: string,
  request: Codec<Request>,
  response: Codec<Response>,
): Method<Request, Response> {
  return { path: `/bitfleet.v1.Training/${name}`, request, response };
}
