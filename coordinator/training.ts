/** What clients ask for. Refusals are sentences that name the setting or the job; see src/link/service.ts for their status. */
import { setTimeout as sleep } from "node:timers/promises";
import { hasEnded, queuedRecord, type JobRecord } from "../src/control/record.js";
import { jobStatus, recordCalled, workerStatuses } from "../src/control/view.js";
import { ConfigError, FailureError, reasonOf, NotFoundError } from "../src/job/problem.js";
import { shell } from "../src/job/shell.js";
import { planJob, type JobPlan } from "../src/job/plan.js";
import { expectedTime } from "../src/control/expectedTime.js";
import { describePlan } from "../src/job/describePlan.js";
import { placeOf } from "../src/job/dataPlace.js";
import { checkLocalWorkers } from "../src/job/request.js";
import type { DataSummary } from "../src/job/decisions.js";
import type { JobRequest } from "../src/job/settings.js";
import type { TrainingHandlers } from "../src/link/service.js";
import type { Logger } from "../src/process/logger.js";
import type { Store } from "../src/store/store.js";
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
} from "../src/wire/training.js";
import { DataReader } from "./data.js";
import { DataSets } from "./dataSets.js";
import { JobRemoval } from "./jobRemoval.js";
import type { JobLogs } from "./logs.js";
import type { Loop } from "./loop.js";
import { predict, trainedWeights } from "./predictions.js";
import type { RemovedJobs } from "./removedJobs.js";
import { StatusBoard } from "./statusBoard.js";
import { Wakeup } from "./wakeup.js";

export interface TrainingOptions {
  readonly loop: Loop;
  readonly logs: JobLogs;
  readonly store: Store;
  /** By job: why its record cannot be used. */
  readonly unreadable: ReadonlyMap<string, string>;
  readonly removed: RemovedJobs;
  /** Leaves nothing of a job's log and record. */
  readonly forget: (job: string) => Promise<void>;
  /** Whether this coordinator holds the lock now, however long it takes to know. */
  readonly isHolder: () => Promise<boolean>;
  /** Has the one that started this process keep so many workers. */
  readonly scale: (workers: number) => Promise<number>;
  /** Aborted when the process ends. */
  readonly signal: AbortSignal;
}

const progressIdleMs = 1000;
const durableMs = 10_000;
const chunkBytes = 2 ** 20;

export class Training implements TrainingHandlers {
  readonly #options: TrainingOptions;
  readonly #data: DataReader;
  readonly #sets: DataSets;
  readonly #board: StatusBoard;
  readonly #removal: JobRemoval;
  /** Submits under way, by name. */
  readonly #submitting = new Map<
    string,
    { readonly requestId: string; readonly answer: Promise<JobStatus> }
  >();

  constructor(options: TrainingOptions) {
    this.#options = options;
    this.#data = new DataReader((task, how) => options.loop.runTask(task, how), options.store);
    const { store, isHolder } = options;
    this.#sets = new DataSets({ store, isHolder, usersOf: (name) => this.#usersOf(name) });
    const { loop, signal, removed, forget } = options;
    this.#removal = new JobRemoval({
      ...{ store, removed, isHolder, forget },
      fleet: () => loop.fleet,
      drop: (job) => loop.drop(job),
      isIndexInUse: (digest) => this.#data.mayUse(digest),
    });
    this.#board = new StatusBoard({
      look: (job) => (loop.fleet.records.has(job) ? this.#status(job) : undefined),
      version: (job) => loop.fleet.records.get(job),
      watch: (wakeup) => loop.watch(wakeup),
      signal,
    });
  }

  async *preview(request: SubmitRequest, signal: AbortSignal): AsyncGenerator<PreviewUpdate> {
    this.#checkName(request);
    const settings = this.#resolved(request.settings);
    (await this.#sets.use([settings.data, settings.validation]))();
    const summary = yield* this.#read(settings, signal);
    const plan = planJob(settings, summary);
    const records = this.#options.loop.fleet.records.values();
    yield {
      picturesRead: plan.trainingExamples + plan.validationExamples,
      pictures: plan.trainingExamples + plan.validationExamples,
      preview: {
        settings: plan.settings,
        lines: describePlan(plan, summary, expectedTime(plan, records)),
        classes: plan.classes,
        trainingExamples: plan.trainingExamples,
        validationExamples: plan.validationExamples,
        indexDigest: summary.digest,
      },
    };
  }

  /** Has the data read, and tells how far that is. */
  async *#read(
    request: JobRequest,
    signal: AbortSignal,
  ): AsyncGenerator<PreviewUpdate, DataSummary> {
    const reading = { done: 0, total: 0, ended: false };
    const wakeup = new Wakeup();
    const onProgress = (done: number, total: number): void => {
      Object.assign(reading, { done, total });
      wakeup.wake();
    };
    const summary = this.#data.read(request, { signal, onProgress }).finally(() => {
      reading.ended = true;
      wakeup.wake();
    });
    // It may fail while nobody awaits it yet.
    summary.catch(() => undefined);
    for (let shown = 0; !reading.ended;) {
      await wakeup.wait(progressIdleMs, signal);
      if (reading.done === shown) continue;
      shown = reading.done;
      yield { picturesRead: shown, pictures: reading.total, preview: undefined };
    }
    return summary;
  }

  submit(request: SubmitRequest): Promise<JobStatus> {
    const { name } = request.settings;
    const { requestId } = request;
    const known = this.#submitting.get(name);
    if (known?.requestId === requestId) return known.answer;
    const answer = this.#accept(request);
    if (known !== undefined) return answer;
    this.#submitting.set(name, { requestId, answer });
    const forget = (): void => {
      this.#submitting.delete(name);
    };
    answer.then(forget, forget);
    return answer;
  }

  async #accept(request: SubmitRequest): Promise<JobStatus> {
    const { settings, requestId } = request;
    const other = this.#submitting.get(settings.name);
    if (other !== undefined && other.requestId !== requestId) throw nameInUse(settings.name);
    if (this.#checkName(request) === undefined) {
      const resolved = this.#resolved(settings);
      const release = await this.#sets.use([settings.data, settings.validation]);
      try {
        const summary = await this.#data.recall(resolved, { signal: this.#options.signal });
        // The job whose weights it takes may have been removed meanwhile.
        this.#resolved(settings);
        this.#queue(request, planJob(resolved, summary), summary);
      } finally {
        release();
      }
    }
    return this.#durable(this.#record(settings.name).name);
  }

  #queue({ settings, requestId }: SubmitRequest, plan: JobPlan, summary: DataSummary): void {
    const { loop, removed, unreadable } = this.#options;
    const isTaken = (id: string): boolean => loop.fleet.records.has(id) || unreadable.has(id);
    const name = removed.idFor(settings.name, isTaken);
    const indexDigest = summary.digest;
    const job = { name, requestId, order: 0, plan, indexDigest, createdMs: Date.now() };
    loop.handle({ kind: "submit", record: queuedRecord(job) });
  }

  listJobs(): Promise<readonly JobStatus[]> {
    const names = [...this.#options.loop.fleet.records.values()]
      .toSorted((a, b) => a.order - b.order)
      .map(({ name }) => name);
    return Promise.resolve(names.map((name) => this.#status(name)));
  }

  async getJob(name: string): Promise<JobStatus> {
    await Promise.resolve();
    return this.#status(this.#record(name).name);
  }

  async *watchJob(name: string, signal: AbortSignal): AsyncGenerator<JobStatus> {
    yield* this.#board.watch(this.#record(name).name, signal);
  }

  readLogs(request: LogsRequest, signal: AbortSignal): AsyncIterable<LogLine> {
    const { afterSequence } = request;
    const { name } = this.#record(request.name);
    const follow = (): boolean => request.follow && !hasEnded(this.#record(name).state);
    return this.#options.logs.read(name, { afterSequence, follow, signal });
  }

  async cancelJob(name: string): Promise<JobStatus> {
    const { state, name: job } = this.#record(name);
    if (state === "done" || state === "failed")
      throw new FailureError(`job ${name} cannot be cancelled: it is ${state}`);
    this.#options.loop.handle({ kind: "cancel", job });
    return this.#durable(job);
  }

  async resumeJob(name: string): Promise<JobStatus> {
    const { state, name: job } = this.#record(name);
    if (this.#removal.isRemoving(job)) throw new FailureError(`job ${name} is being removed`);
    if (state !== "cancelled" && state !== "failed")
      throw new FailureError(
        `job ${name} cannot be resumed: it is ${state}, and only a cancelled or failed job is`,
      );
    this.#options.loop.handle({ kind: "resume", job });
    return this.#durable(job);
  }

  /** Ends the removals that a coordinator before has begun. */
  async finishRemovals(records: readonly JobRecord[], logger: Logger): Promise<void> {
    for (const { name: job, indexDigest } of records) {
      try {
        await this.#removal.finish(job, indexDigest);
        logger.info({ job }, "removed a job, as a coordinator before had begun to");
      } catch (error) {
        if (this.#options.signal.aborted) return;
        logger.warn({ job, reason: reasonOf(error) }, "a job is not removed yet");
      }
    }
  }

  /** Answers with how many files went. */
  async removeJob({ name, keepWeights }: JobToRemove): Promise<number> {
    const record = this.#record(name);
    this.#removal.check(record, keepWeights);
    await this.#durable(record.name);
    return this.#removal.remove(this.#record(name), keepWeights);
  }

  listWorkers(): Promise<readonly WorkerStatus[]> {
    return Promise.resolve(workerStatuses(this.#options.loop.fleet, performance.now()));
  }

  async drainWorker(id: string): Promise<WorkerStatus> {
    await Promise.resolve();
    const { loop } = this.#options;
    const found = this.#worker(id);
    if (found === undefined) throw new NotFoundError(`there is no worker ${id}`);
    if (found.state === "lost") throw new FailureError(`worker ${id} is lost: ${found.reason}`);
    loop.handle({ kind: "drain", workerId: id });
    return this.#worker(id) ?? found;
  }

  async scaleWorkers(workers: number): Promise<number> {
    return await this.#options.scale(checkLocalWorkers(workers));
  }

  #worker(id: string): WorkerStatus | undefined {
    const { fleet } = this.#options.loop;
    return workerStatuses(fleet, performance.now()).find((worker) => worker.id === id);
  }

  async *exportWeights(name: string, signal: AbortSignal): AsyncGenerator<Chunk> {
    const weights = trainedWeights(this.#record(name));
    const found = await this.#options.store.stat(weights);
    if (found === undefined)
      throw new FailureError(`the weights of job ${name} are gone: no ${weights} in the store`);
    for await (const piece of this.#options.store.get(weights))
      for (let first = 0; first < piece.length; first += chunkBytes) {
        if (signal.aborted) return;
        yield { data: piece.subarray(first, first + chunkBytes), totalBytes: found.bytes };
      }
  }

  predict(parts: AsyncIterable<PredictPart>, signal: AbortSignal): Promise<readonly Prediction[]> {
    const { store, loop } = this.#options;
    return predict(parts, {
      store,
      runTask: (task, how) => loop.runTask(task, how),
      record: (job) => this.#record(job),
      signal,
    });
  }

  missingBlobs(hashes: readonly string[]): Promise<readonly string[]> {
    return this.#sets.missing(hashes);
  }

  pushData(parts: AsyncIterable<BlobPart>): Promise<number> {
    return this.#sets.push(parts);
  }

  commitData(commit: DataCommit): Promise<DataCommitted> {
    return this.#sets.commit(commit);
  }

  listData(): Promise<readonly DataSetStatus[]> {
    return this.#sets.list();
  }

  async removeData(name: string): Promise<number> {
    const removed = await this.#sets.remove(name);
    // Other pictures may be pushed under the name now.
    this.#data.forget(placeOf(name));
    return removed;
  }

  #usersOf(dataSet: string): readonly string[] {
    const place = placeOf(dataSet);
    return [...this.#options.loop.fleet.records.values()]
      .filter(({ state }) => !hasEnded(state))
      .filter(({ plan: { settings } }) => [settings.data, settings.validation].includes(place))
      .map(({ name }) => name);
  }

  #record(name: string): JobRecord {
    const record = recordCalled(this.#options.loop.fleet, name);
    if (record === undefined) throw new NotFoundError(`there is no job ${name}`);
    return record;
  }

  #status(name: string): JobStatus {
    return jobStatus(this.#options.loop.fleet, name, performance.now());
  }

  /** What is decided, once no crash can take it back, and no successor can have missed it. */
  async #durable(name: string): Promise<JobStatus> {
    const { loop, isHolder, signal } = this.#options;
    const late = sleep(durableMs, "late" as const, { signal }).catch(() => "late" as const);
    const isKept = await loop.kept(name, durableMs);
    const isHeld = isKept ? await Promise.race([isHolder(), late]) : "late";
    if (isHeld === true) return this.#status(name);
    if (isHeld === false)
      throw new FailureError(
        `what was asked of job ${name} may not have been done: another coordinator has taken over; ask again`,
      );
    throw new FailureError(
      `what was asked of job ${name} is under way, but not durable yet: NATS does not answer; ask again`,
    );
  }

  /** The record that the same request has made already. ConfigError: the name belongs to another job. */
  #checkName({ settings, requestId }: SubmitRequest): JobRecord | undefined {
    const record = recordCalled(this.#options.loop.fleet, settings.name);
    if (record !== undefined && record.requestId !== requestId) throw nameInUse(settings.name);
    const problem = this.#options.unreadable.get(settings.name);
    if (problem !== undefined)
      throw new ConfigError(
        `name ${settings.name} is in use by a job whose record cannot be used: ${problem}`,
      );
    return record;
  }

  /** With the weights of a job named by its id, which stays when its name is used again. */
  #resolved(settings: JobRequest): JobRequest {
    const { weights = "", model } = settings;
    if (!weights.startsWith("job:")) return settings;
    const source = weights.slice("job:".length);
    const record = recordCalled(this.#options.loop.fleet, source);
    if (record === undefined)
      throw new ConfigError(`weights is ${weights}, but there is no job ${source}`);
    if (record.weights === undefined)
      throw new ConfigError(
        `weights is ${weights}, but job ${source} has none: it is ${record.state}`,
      );
    if (record.plan.settings.model !== model)
      throw new ConfigError(
        `weights is ${weights}, a ${record.plan.settings.model}, but model is ${model}`,
      );
    if (this.#removal.isRemoving(record.name))
      throw new ConfigError(`weights is ${weights}, but job ${source} is being removed`);
    return { ...settings, weights: `job:${record.name}` };
  }
}

function nameInUse(name: string): ConfigError {
  return new ConfigError(
    `name ${name} is in use by another job: choose another, or "${shell`bitfleet remove ${name}`}" first`,
  );
}
