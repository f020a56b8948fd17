/**
 * The coordinator's durable memory in NATS JetStream: a bucket of job records, a bucket for the lock, a stream of job logs.
 * JetStream answers a write at least once or not at all, so every write names the version that it replaces. A write whose
 * answer is lost is repeated under that same version until there is an answer: only then can no older copy of it still land,
 * and only then is it read who won. Reads go to the leader of the stream, never to a replica that may lag.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  Events,
  headers,
  NatsError,
  type JetStreamClient,
  type JetStreamManager,
  type NatsConnection,
  type StreamConfig,
} from "nats";

import { FailureError, WireError } from "../job/problem.js";
import { checkPayload, checkVersion } from "./jetstreamServer.js";
import { nextMessages, type LineBatch, type StoredLine } from "./jetstreamBatch.js";
import {
  hopeless,
  isDenied,
  jetstreamProblem,
  noAnswer,
  storeFailed,
} from "./jetstreamProblems.js";
import {
  apiCode,
  checkToken,
  isTooMuch,
  jobsStream,
  lockStream,
  logStream,
  logsName,
  streamBytesLeast,
  streamNotFound,
  Streams,
} from "./jetstreamStreams.js";
import { dialNats, natsReason, natsTrouble, watchTls, type NatsTarget } from "./natsConnection.js";

export type { LineBatch, StoredLine } from "./jetstreamBatch.js";

const requestTimeoutMs = 2000;
const retryMs = 250;
const connectWithinMs = 4000;
/** A half-open link is noticed within 3 s. */
const pingMs = 1000;
const wrongLastSequence = 10_071;
const noMessageFound = 10_037;
const writeHeader = "Bitfleet-Write";

export interface Entry {
  readonly value: Uint8Array;
  /** Names this version of the value. */
  readonly revision: number;
  /** Whether it was written through this very connection. */
  readonly isOurs: boolean;
}

/** The revision written, or undefined where another version than the one named was there. */
export type Written = number | undefined;

/** A few small values by key; keys are letters, digits and hyphens. */
export interface Bucket {
  keys(): Promise<readonly string[]>;
  read(key: string): Promise<Entry | undefined>;
  /**
   * Replaces exactly `revision` (0: nothing is there). Waits while NATS is away; rejects when aborted or closed, and with a
   * WireError where no repetition would help.
   */
  write(key: string, value: Uint8Array, revision: number, signal: AbortSignal): Promise<Written>;
}

export interface RecordBucket extends Bucket {
  /** Leaves nothing of it. Waits while NATS is away; rejects when aborted or closed, and where it is not allowed. */
  remove(key: string, signal: AbortSignal): Promise<void>;
}

/** Lines by topic, in order, bounded by age and size: the oldest go first. */
export interface LineStream {
  /** `after` is the position of the topic's last line, 0 for none. Waits and rejects as `Bucket.write`. */
  append(topic: string, line: Uint8Array, after: number, signal: AbortSignal): Promise<Written>;
  last(topic: string): Promise<StoredLine | undefined>;
  /** As `RecordBucket.remove`. */
  remove(topic: string, signal: AbortSignal): Promise<void>;
  /** Up to `limit` lines from `position` on. */
  read(topic: string, position: number, limit: number): Promise<LineBatch>;
}

export interface RecordStore {
  readonly jobs: RecordBucket;
  readonly lock: Bucket;
  readonly logs: LineStream;
  /** Gives up what is under way. */
  close(): Promise<void>;
}

/** Which part of the store was found gone. */
export interface Emptied {
  readonly jobs: boolean;
  readonly logs: boolean;
}

export interface RecordStoreOptions {
  /** Told what keeps writes from getting through, and `undefined` once they do again. */
  readonly onTrouble?: (problem: string | undefined) => void;
  /** Told whenever the connection itself is lost, and when it is there again. */
  readonly onConnection?: (isUp: boolean) => void;
  /** NATS came back without what it had stored: the buckets, or the stream of logs, were made anew and are empty. */
  readonly onEmptied?: (what: Emptied) => void;
  /** Told where a stream was made with another bound than was asked for. */
  readonly onBounded?: (sentence: string) => void;
  readonly logBytesMax?: number | undefined;
  readonly logDays?: number;
}

/** FailureError: NATS cannot be reached within 5 s, refuses us or a subject of ours, is too old or has no JetStream. */
export async function openRecords(
  target: NatsTarget,
  options: RecordStoreOptions = {},
): Promise<RecordStore> {
  const name = "bitfleet coordinator";
  const connection = await dialNats({ ...target, name, pingMs, withinMs: connectWithinMs });
  try {
    checkVersion(connection, target.url);
    checkPayload(connection, target.url);
    const manager = await connection.jetstreamManager({ timeout: requestTimeoutMs });
    const wanted = [jobsStream, lockStream, logStream(options)];
    const streams = new Streams(manager, wanted, (stream, bytes, asked) => {
      const instead = asked > 0 ? `, not ${asked}, for which NATS has no room` : "";
      options.onBounded?.(`stream ${stream} may take ${bytes} bytes${instead}`);
    });
    await streams.ensure();
    const store = new JetStreamStore(connection, { manager, streams, options, target });
    await store.checkRights();
    return {
      jobs: store.bucket("bitfleet_jobs"),
      lock: store.bucket("bitfleet_lock"),
      logs: store.lines(logsName, "bitfleet.logs"),
      close: () => connection.close(),
    };
  } catch (error) {
    await connection.close();
    if (error instanceof FailureError) throw error;
    const reason = natsReason(error, target);
    if (isTooMuch(error))
      throw new FailureError(
        `NATS at ${target.url} has no room for the records and logs of jobs, which take ${streamBytesLeast} bytes a stream at least: ${reason}`,
      );
    throw isDenied(error)
      ? new FailureError(reason)
      : new FailureError(`NATS at ${target.url} has no usable JetStream: ${reason}`);
  }
}

class JetStreamStore {
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #client: JetStreamClient;
  readonly #streams: Streams;
  readonly #options: RecordStoreOptions;
  readonly #target: NatsTarget;
  /** Tells our writes from those of any other process. */
  readonly #writer = randomUUID();
  #writes = 0;
  #problem: string | undefined;
  #cause: string | undefined;
  #connected = true;
  /** Whether the streams have to be looked for before the next write. */
  #doubtful = false;
  #inspecting: Promise<void> | undefined;

  constructor(
    connection: NatsConnection,
    parts: {
      readonly manager: JetStreamManager;
      readonly streams: Streams;
      readonly options: RecordStoreOptions;
      readonly target: NatsTarget;
    },
  ) {
    this.#connection = connection;
    this.#manager = parts.manager;
    this.#client = connection.jetstream({ timeout: requestTimeoutMs });
    this.#streams = parts.streams;
    this.#options = parts.options;
    this.#target = parts.target;
    void this.#followStatus();
    void watchTls(connection, parts.target, (sentence) => this.#reportCause(sentence));
  }

  /** Publishes what no stream takes: whoever may not publish it is told so, and would else wait with the first record. */
  async checkRights(): Promise<void> {
    const expect = { streamName: "none" };
    const subjects = ["$KV.bitfleet_jobs.right", "$KV.bitfleet_lock.right", "bitfleet.logs.right"];
    const attempts = subjects.map((subject) => this.#client.publish(subject, "", { expect }));
    for (const attempt of await Promise.allSettled(attempts))
      if (attempt.status === "rejected" && isDenied(attempt.reason)) throw attempt.reason;
  }

  bucket(name: string): RecordBucket {
    const stream = `KV_${name}`;
    const prefix = `$KV.${name}.`;
    return {
      keys: async () => {
        const info = await this.#manager.streams.info(stream, { subjects_filter: `${prefix}>` });
        return Object.keys(info.state.subjects ?? {}).map((subject) =>
          subject.slice(prefix.length),
        );
      },
      read: async (key) => {
        const last = await this.#last(stream, `${prefix}${checkToken(key)}`);
        return (
          last && {
            value: last.data,
            revision: last.position,
            isOurs: last.writeId.startsWith(`${this.#writer}.`),
          }
        );
      },
      write: (key, value, revision, signal) =>
        this.#write(stream, `${prefix}${checkToken(key)}`, value, revision, signal),
      remove: (key, signal) => this.#purge(stream, `${prefix}${checkToken(key)}`, signal),
    };
  }

  lines(stream: string, prefix: string): LineStream {
    const subject = (topic: string): string => `${prefix}.${checkToken(topic)}`;
    return {
      append: (topic, line, after, signal) =>
        this.#write(stream, subject(topic), line, after, signal),
      remove: (topic, signal) => this.#purge(stream, subject(topic), signal),
      last: (topic) => this.#last(stream, subject(topic)),
      read: (topic, position, limit) =>
        nextMessages(this.#connection, stream, { subject: subject(topic), position, limit }),
    };
  }

  async #write(
    stream: string,
    subject: string,
    value: Uint8Array,
    revision: number,
    signal: AbortSignal,
  ): Promise<Written> {
    const id = `${this.#writer}.${this.#writes++}`;
    for (let ambiguous = false; ; ambiguous = true) {
      signal.throwIfAborted();
      try {
        const written = await this.#attempt(subject, value, revision, id);
        const settled = written ?? (ambiguous ? await this.#ours(stream, subject, id) : undefined);
        this.#report(undefined);
        return settled;
      } catch (error) {
        if (this.#connection.isClosed())
          throw new FailureError("the connection to NATS was closed", { cause: error });
        const why = hopeless(error, value.length);
        if (why !== undefined) throw new WireError(why, { cause: error });
        await this.#tellWhy(error, stream);
        await sleep(retryMs, undefined, { signal });
      }
    }
  }

  async #purge(stream: string, subject: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await this.#inspect();
        await this.#manager.streams.purge(stream, { filter: subject });
        return;
      } catch (error) {
        if (this.#connection.isClosed())
          throw new FailureError("the connection to NATS was closed", { cause: error });
        if (isDenied(error)) throw new FailureError(natsReason(error, this.#target));
        await this.#tellWhy(error, stream);
        await sleep(retryMs, undefined, { signal });
      }
    }
  }

  async #tellWhy(error: unknown, stream: string): Promise<void> {
    const isFull = apiCode(error) === storeFailed;
    const config = isFull ? await this.#configOf(stream) : { name: stream };
    const problem = jetstreamProblem(error, config, this.#target.url);
    if (problem === undefined) this.#report(noAnswer(error, this.#target));
    else this.#reportCause(problem);
  }

  /** With its bounds, where they can be known. */
  async #configOf(name: string): Promise<Pick<StreamConfig, "name"> & Partial<StreamConfig>> {
    return this.#manager.streams.info(name).then(
      ({ config }) => config,
      () => ({ name }),
    );
  }

  async #attempt(
    subject: string,
    data: Uint8Array,
    revision: number,
    id: string,
  ): Promise<Written> {
    const marked = headers();
    marked.set(writeHeader, id);
    const expect = { lastSubjectSequence: revision };
    // The client would drop it, and let us wait for an answer that cannot come.
    if (!this.#connected) throw new FailureError("not connected");
    await this.#inspect();
    try {
      // A fresh message id, too, makes the repeat harmless for servers that look at it first.
      const ack = await this.#client.publish(subject, data, { headers: marked, msgID: id, expect });
      return ack.seq;
    } catch (error) {
      if (apiCode(error) === wrongLastSequence) return undefined;
      // Nobody answers for the subject: JetStream is not ready, or the stream is gone.
      if (error instanceof NatsError && error.code === "503")
        this.#doubtful = apiCode(error) !== storeFailed;
      throw error;
    }
  }

  /** Makes again what a server has lost, and says so. */
  #inspect(): Promise<void> {
    if (!this.#doubtful) return Promise.resolve();
    this.#inspecting ??= this.#ensureStreams().finally(() => (this.#inspecting = undefined));
    return this.#inspecting;
  }

  async #ensureStreams(): Promise<void> {
    this.#doubtful = false;
    try {
      const emptied = await this.#streams.ensure();
      const [jobs, logs] = [emptied.has(jobsStream.name), emptied.has(logsName)];
      if (jobs || logs) this.#options.onEmptied?.({ jobs, logs });
    } catch (error) {
      this.#doubtful = true;
      throw error;
    }
  }

  /** The position of the last message if this write put it there. */
  async #ours(stream: string, subject: string, id: string): Promise<Written> {
    const last = await this.#last(stream, subject);
    return last?.writeId === id ? last.position : undefined;
  }

  async #last(
    stream: string,
    subject: string,
  ): Promise<(StoredLine & { readonly writeId: string }) | undefined> {
    await this.#inspect();
    try {
      const message = await this.#manager.streams.getMessage(stream, { last_by_subj: subject });
      const writeId = message.header.get(writeHeader);
      return { position: message.seq, data: message.data, writeId };
    } catch (error) {
      if (apiCode(error) === noMessageFound) return undefined;
      if (apiCode(error) === streamNotFound) this.#doubtful = true;
      throw error;
    }
  }

  async #followStatus(): Promise<void> {
    for await (const status of this.#connection.status()) {
      const { type } = status;
      const trouble = natsTrouble(status, this.#target);
      if (trouble !== undefined && trouble.kind !== "other") this.#reportCause(trouble.sentence);
      if (type === Events.Disconnect) {
        this.#connected = false;
        this.#options.onConnection?.(false);
        this.#report("the connection to NATS is lost");
      }
      // That the trouble is over is told by the first write that gets through.
      if (type === Events.Reconnect) {
        this.#connected = true;
        this.#options.onConnection?.(true);
        this.#doubtful = true;
      }
    }
  }

  #report(problem: string | undefined): void {
    // One trouble, one line: what follows from a lost connection says nothing new.
    if ((problem === undefined) === (this.#problem === undefined)) return;
    this.#problem = problem;
    this.#cause = undefined;
    this.#options.onTrouble?.(problem);
  }

  /** What the server itself holds against us is told even so. */
  #reportCause(cause: string): void {
    if (cause === this.#cause) return;
    this.#cause = this.#problem = cause;
    this.#options.onTrouble?.(cause);
  }
}
