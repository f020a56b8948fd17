import { checkSettings } from "../../src/job/request.js";
import type { JobSettings } from "../../src/job/settings.js";
import { startServer } from "../../src/link/grpcServer.js";
import type { RunningServer, ServerOptions, TrainingHandlers } from "../../src/link/service.js";
import type { JobStatus } from "../../src/wire/training.js";

export const settings: JobSettings = checkSettings({
  name: "digits",
  model: "1-1-1-1x0.5",
  data: "/data/digits",
  validationFraction: 0.1,
  recipe: "hyperrule",
  seed: 7,
  steps: 60,
  batch: 512,
  shards: 32,
  microBatch: 16,
  rate: 0.003,
  warmupSteps: 10,
  drops: [0.3, 0.6, 0.9],
  momentum: 0.9,
  weightDecay: 0,
  resize: 40,
  crop: 32,
  noCrop: false,
  noFlip: true,
  mixup: 0,
  examplesPerClass: 10,
  evalEvery: 20,
  checkpointEvery: 20,
  keepCheckpoints: 3,
  minWorkers: 1,
  threads: 1,
  priority: -3,
  audit: 256,
  mixedDevices: false,
});

export function jobStatus(changes: Partial<JobStatus> = {}): JobStatus {
  return {
    name: "digits",
    state: "training",
    reason: "",
    step: 12,
    steps: 60,
    epoch: 3,
    loss: 1.25,
    rate: 0.003,
    imagesPerSecond: 431.5,
    secondsLeft: 57,
    workers: 2,
    generation: 1,
    attempt: 1,
    parameterDigest: "",
    classes: ["five", "six"],
    evaluations: [{ step: 10, correct: 61, total: 100, loss: 0.9 }],
    settings,
    createdMs: 1_700_000_000_000,
    startedMs: 1_700_000_001_000,
    endedMs: 0,
    weights: "",
    batch: 512,
    checkpointStep: 0,
    workerUse: 0.91,
    straggler: "w2",
    stragglerTimes: 1.75,
    ...changes,
  };
}

const unexpected = (): never => {
  throw new Error("not expected in this test");
};

const nothing: TrainingHandlers = {
  preview: unexpected,
  submit: unexpected,
  listJobs: unexpected,
  getJob: unexpected,
  watchJob: unexpected,
  readLogs: unexpected,
  cancelJob: unexpected,
  resumeJob: unexpected,
  removeJob: unexpected,
  drainWorker: unexpected,
  scaleWorkers: unexpected,
  listWorkers: unexpected,
  exportWeights: unexpected,
  predict: unexpected,
  missingBlobs: unexpected,
  pushData: unexpected,
  commitData: unexpected,
  listData: unexpected,
  removeData: unexpected,
};

/** A server on a free loopback port with the handlers that a test is about. */
export function serve(
  training: Partial<TrainingHandlers>,
  options: Partial<ServerOptions> = {},
): Promise<RunningServer> {
  return startServer({
    host: "127.0.0.1",
    port: 0,
    callers: undefined,
    training: { ...nothing, ...training },
    onSession: unexpected,
    ...options,
  });
}

export function addressOf({ host, port }: RunningServer): string {
  return `${host}:${port}`;
}
