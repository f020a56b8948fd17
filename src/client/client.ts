/**
 * The client library. Every failure is a ConfigError (the request is wrong) or a FailureError (something outside is), whose
 * message is one sentence for people.
 */
import { hasEnded } from "../control/record.js";
import { checkDataName } from "../job/dataPlace.js";
import { checkJobName, checkLocalWorkers, checkRequest, checkWorkerId } from "../job/request.js";
import type { JobRequest } from "../job/settings.js";
import { Channel } from "../link/channel.js";
import { trainingMethods as methods } from "../link/methods.js";
import type { TlsFiles } from "../process/certificates.js";
import type {
  DataSetStatus,
  JobStatus,
  LogLine,
  Prediction,
  Preview,
  PreviewUpdate,
  WorkerStatus,
} from "../wire/training.js";
import { evaluationRequest } from "./evaluation.js";
import { checkTarget } from "./exportTarget.js";
import { callsOf, findPictures, pictureName, pictureParts } from "./pictures.js";
import { pushFolder, type PushCalls, type Pushed, type PushProgress } from "./pushFolder.js";
import { requestIdOf } from "./requestId.js";
import { reconnecting, repeating } from "./retry.js";
import { saveChunks } from "./saveChunks.js";

export type { DataSetStatus, Pushed, PushProgress };
export type { JobStatus, LogLine, Prediction, Preview, PreviewUpdate, WorkerStatus };

export interface ClientOptions {
  /** HOST:PORT of the coordinator. */
  readonly address: string;
  /** Needed where the coordinator listens off loopback. */
  readonly token?: string;
  /** PEM files; left out, all goes in the clear. */
  readonly tls?: TlsFiles | undefined;
}

export interface WatchOptions {
  /** Ends the stream, without an error. */
  readonly signal?: AbortSignal;
}

export interface LogOptions extends WatchOptions {
  /** Lines with a greater sequence only; 0, the default, for all. */
  readonly afterSequence?: number;
  /** Goes on until the job has ended. */
  readonly follow?: boolean;
}

export interface ExportOptions {
  readonly onProgress?: (bytes: number, total: number) => void;
  /** Whether a file that is there is replaced; without it such a file is refused. */
  readonly force?: boolean;
}

/** A call that only asks or tells. */
const callMs = 15_000;
/** Without a preview before it, a worker has to read all of the data first. */
const submitMs = 600_000;
/** Uploading pictures, starting TensorFlow and classifying. */
const predictMs = 600_000;
/** The store may hold millions of blobs to look through. */
const dataCallMs = 600_000;

/** Opens a connection; nothing is sent before the first call. ConfigError: the address is not HOST:PORT. */
export function connect({ address, token = "", tls }: ClientOptions): BitfleetClient {
  return new BitfleetClient(new Channel(address, token, tls));
}

export class BitfleetClient {
  readonly #channel: Channel;
  /** Whether the coordinator has ever answered: then it is at the address, and may come back there. */
  #reached = false;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Ends the connection; calls under way fail. */
  close(): void {
    this.#channel.close();
  }

  /** What the job would be: has a worker read the data, with progress. The last update has the preview. */
  preview(settings: JobRequest, { signal }: WatchOptions = {}): AsyncIterable<PreviewUpdate> {
    const checked = checkRequest(settings);
    const request = { settings: checked, requestId: requestIdOf(checked) };
    return this.#stream(signal, (onOpen) =>
      this.#channel.serverStream(methods.preview, request, signal, onOpen),
    );
  }

  /** Queues the job. Repeating it with the same settings, or the same `requestId`, is harmless, and answered alike. */
  async submit(settings: JobRequest, requestId?: string): Promise<JobStatus> {
    const checked = checkRequest(settings);
    const request = { settings: checked, requestId: requestId ?? requestIdOf(checked) };
    return await this.#repeat(() => this.#channel.unary(methods.submit, request, submitMs));
  }

  /** The newest jobs, each with its last evaluation and without classes. */
  jobs(): Promise<readonly JobStatus[]> {
    return this.#repeat(() => this.#channel.unary(methods.listJobs, undefined, callMs));
  }

  async job(name: string): Promise<JobStatus> {
    const job = checkJobName(name);
    return await this.#repeat(() => this.#channel.unary(methods.getJob, job, callMs));
  }

  /** The status now and at every change; ends after the status of the ended job. Reconnects by itself. */
  async *watch(name: string, { signal }: WatchOptions = {}): AsyncGenerator<JobStatus> {
    checkJobName(name);
    const open = (onOpen: () => void): AsyncIterable<JobStatus> =>
      this.#channel.serverStream(methods.watchJob, name, signal, onOpen);
    let classes: readonly string[] = [];
    for await (const status of this.#stream(signal, open)) {
      if (status.classes.length > 0) ({ classes } = status);
      yield { ...status, classes };
      if (hasEnded(status.state)) return;
    }
  }

  /** Lines in order. Reconnects by itself after the last line seen, so that none is missing and none comes twice. */
  async *logs(name: string, options: LogOptions = {}): AsyncGenerator<LogLine> {
    checkJobName(name);
    const { signal, follow = false } = options;
    let afterSequence = options.afterSequence ?? 0;
    const open = (onOpen: () => void): AsyncIterable<LogLine> => {
      const request = { name, afterSequence, follow };
      return this.#channel.serverStream(methods.readLogs, request, signal, onOpen);
    };
    for await (const line of this.#stream(signal, open)) {
      if (line.sequence <= afterSequence) continue;
      afterSequence = line.sequence;
      yield line;
    }
  }

  /** Keeps a checkpoint of the last commit. */
  async cancel(name: string): Promise<JobStatus> {
    const job = checkJobName(name);
    return await this.#repeat(() => this.#channel.unary(methods.cancelJob, job, callMs));
  }

  /** Queues a cancelled or failed job again; it goes on from its checkpoint. */
  async resume(name: string): Promise<JobStatus> {
    return await this.#channel.unary(methods.resumeJob, checkJobName(name), callMs);
  }

  /**
   * Removes a job that has ended, with all that the fleet keeps of it; its name is free again. `keepWeights` leaves the weights
   * in the store. Answers with how many files went.
   */
  async removeJob(
    name: string,
    { keepWeights = false }: { readonly keepWeights?: boolean } = {},
  ): Promise<number> {
    const job = { name: checkJobName(name), keepWeights };
    return await this.#channel.unary(methods.removeJob, job, dataCallMs);
  }

  workers(): Promise<readonly WorkerStatus[]> {
    return this.#repeat(() => this.#channel.unary(methods.listWorkers, undefined, callMs));
  }

  /** Asks a worker to finish or hand over what it does, and to end; its answer is that it is leaving. */
  async drain(workerId: string): Promise<WorkerStatus> {
    return await this.#channel.unary(methods.drainWorker, checkWorkerId(workerId), callMs);
  }

  /** Sets how many workers the `bitfleet up` of the coordinator's machine keeps there; answers with that number. */
  async scale(workers: number): Promise<number> {
    return await this.#channel.unary(methods.scaleWorkers, checkLocalWorkers(workers), callMs);
  }

  /**
   * Writes a finished job's weights, an npz with BiT's names, to `file`, which appears whole or not at all. Returns its size
   * in bytes. Errors of `checkTarget` come before anything is sent.
   */
  async exportWeights(
    name: string,
    file: string,
    options: WatchOptions & ExportOptions = {},
  ): Promise<number> {
    const job = checkJobName(name);
    const { signal, onProgress, force = false } = options;
    await checkTarget(file, force);
    const chunks = this.#channel.serverStream(methods.exportWeights, job, signal);
    return await saveChunks(chunks, file, { onProgress, force });
  }

  /** Classifies pictures with a finished job's weights; as `predictions`, all together. */
  async predict(
    job: string,
    paths: readonly string[],
    options: WatchOptions = {},
  ): Promise<readonly Prediction[]> {
    const all: Prediction[] = [];
    for await (const { predictions } of this.predictions(job, paths, options))
      all.push(...predictions);
    return all;
  }

  /**
   * Classifies files, and all pictures in folders, in as many calls as they need; each call's answers come as they are there, those
   * that cannot be sent first. Scores come best first; a picture that cannot be read has its problem instead. An abort cancels the
   * call under way, which fails. ConfigError: a path is not there.
   */
  async *predictions(
    job: string,
    paths: readonly string[],
    { signal }: WatchOptions = {},
  ): AsyncGenerator<{ readonly predictions: readonly Prediction[]; readonly total: number }> {
    const name = checkJobName(job);
    const found = await findPictures(paths);
    const total = found.length;
    const refused = found.flatMap(({ file, problem }) =>
      problem === undefined ? [] : [{ picture: pictureName(file), scores: [], problem }],
    );
    yield { predictions: refused, total };
    for (const call of callsOf(found.filter(({ problem }) => problem === undefined))) {
      const parts = pictureParts(name, call);
      const predictions = await this.#channel.clientStream(
        methods.predict,
        parts,
        predictMs,
        signal,
      );
      yield { predictions, total };
    }
  }

  /**
   * Evaluates a finished job's weights on its validation examples, or on another folder: a job of no steps. Returns the
   * status of that job, which can be watched.
   */
  async evaluate(name: string, validation?: string): Promise<JobStatus> {
    const { settings } = await this.job(name);
    const taken = new Set((await this.jobs()).map((job) => job.name));
    return await this.submit(evaluationRequest(settings, taken, validation));
  }

  /** Sends a folder of labelled pictures into the store, as the data set `name`; what is there already is not sent. */
  async pushData(
    folder: string,
    name: string,
    options: WatchOptions & {
      readonly onProgress?: (progress: PushProgress) => void;
      /** The most that a picture may have. */
      readonly pixelsMax?: number;
    } = {},
  ): Promise<Pushed> {
    const { signal = new AbortController().signal, onProgress = () => undefined } = options;
    const { pixelsMax } = options;
    const channel = this.#channel;
    const calls: PushCalls = {
      missing: (hashes) =>
        this.#repeat(() => channel.unary(methods.missingBlobs, hashes, dataCallMs)),
      push: (parts) =>
        this.#repeat(() => {
          signal.throwIfAborted();
          return channel.clientStream(methods.pushData, parts(), dataCallMs, signal);
        }),
      commit: (commit) => this.#repeat(() => channel.unary(methods.commitData, commit, dataCallMs)),
    };
    return pushFolder({ folder, name: checkDataName(name), signal, onProgress, pixelsMax }, calls);
  }

  dataSets(): Promise<readonly DataSetStatus[]> {
    return this.#repeat(() => this.#channel.unary(methods.listData, undefined, callMs));
  }

  /** Removes a data set that no job uses; answers with how many blobs went with it. */
  async removeData(name: string): Promise<number> {
    return await this.#channel.unary(methods.removeData, checkDataName(name), dataCallMs);
  }

  #stream<T>(
    signal: AbortSignal | undefined,
    open: (onOpen: () => void) => AsyncIterable<T>,
  ): AsyncIterable<T> {
    const reopen = (onOpen: () => void): AsyncIterable<T> =>
      open(() => {
        this.#reached = true;
        onOpen();
      });
    return reconnecting(reopen, signal, this.#reached);
  }

  /** Only for calls that change nothing, or nothing more the second time. */
  #repeat<T>(call: () => Promise<T>): Promise<T> {
    const reaching = async (): Promise<T> => {
      const answer = await call();
      this.#reached = true;
      return answer;
    };
    return repeating(reaching, () => this.#reached);
  }
}
