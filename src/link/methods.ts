/** The methods of proto/, by path and codecs: what a generated stub would say; and the least role that may call each. */
import type { Call, Role } from "../job/roles.js";
import type { Codec } from "../wire/codec.js";
import {
  blobHashes,
  blobPart,
  dataCommit,
  dataCommitted,
  dataList,
  dataName,
  dataRemoved,
  pushReply,
} from "../wire/dataCodecs.js";
import {
  chunk,
  empty,
  jobList,
  jobName,
  jobRemoved,
  jobStatus,
  jobToRemove,
  logLine,
  logsRequest,
  oneWorker,
  predictPart,
  predictReply,
  previewUpdate,
  submitRequest,
  workerCount,
  workerList,
  workerName,
} from "../wire/trainingCodecs.js";

export interface Method<Request, Response> extends Call {
  readonly path: string;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

export const trainingMethods = {
  preview: method("Preview", "submitter", submitRequest, previewUpdate),
  submit: method("Submit", "submitter", submitRequest, jobStatus),
  listJobs: method("ListJobs", "viewer", empty, jobList),
  getJob: method("GetJob", "viewer", jobName, jobStatus),
  watchJob: method("WatchJob", "viewer", jobName, jobStatus),
  readLogs: method("ReadLogs", "viewer", logsRequest, logLine),
  cancelJob: method("CancelJob", "submitter", jobName, jobStatus),
  resumeJob: method("ResumeJob", "submitter", jobName, jobStatus),
  removeJob: method("RemoveJob", "submitter", jobToRemove, jobRemoved),
  listWorkers: method("ListWorkers", "viewer", empty, workerList),
  drainWorker: method("DrainWorker", "admin", workerName, oneWorker),
  scaleWorkers: method("ScaleWorkers", "admin", workerCount, workerCount),
  exportWeights: method("ExportWeights", "submitter", jobName, chunk),
  predict: method("Predict", "submitter", predictPart, predictReply),
  missingBlobs: method("MissingBlobs", "submitter", blobHashes, blobHashes),
  pushData: method("PushData", "submitter", blobPart, pushReply),
  commitData: method("CommitData", "submitter", dataCommit, dataCommitted),
  listData: method("ListData", "viewer", empty, dataList),
  removeData: method("RemoveData", "submitter", dataName, dataRemoved),
} as const;

/** The workers' stream; its codecs are those of src/wire/workerEvent.ts and workerCommand.ts. */
export const sessionPath = "/bitfleet.v1.Fleet/Session";
export const sessionCall: Call = { name: "Session", role: "worker" };
/** The only method of the field's reflection service, of either version. */
const reflectionCall: Call = { name: "ServerReflectionInfo", role: "viewer" };

/** By the last part of its path; undefined for what is not ours. */
export function callOf(name: string): Call | undefined {
  const calls = [...Object.values(trainingMethods), sessionCall, reflectionCall];
  return calls.find((call) => call.name === name);
}

/** For the receiving side of a call whose codecs run inside the call. */
export function asBytes(bytes: Buffer): Buffer {
  return bytes;
}

function method<Request, Response>(
  name: string,
  role: Role,
  request: Codec<Request>,
  response: Codec<Response>,
): Method<Request, Response> {
  return { name, role, path: `/bitfleet.v1.Training/${name}`, request, response };
}
