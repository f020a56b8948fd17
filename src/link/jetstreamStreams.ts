/**
 * The streams that hold the coordinator's records. A server that lost its storage comes back without them; they are then made
 * anew, and whoever wrote into them is told that they are empty.
 */
import {
  DiscardPolicy,
  nanos,
  NatsError,
  RetentionPolicy,
  StorageType,
  type ApiError,
  type JetStreamManager,
  type StreamConfig,
} from "nats";

import { FailureError } from "../job/problem.js";

const dayMs = 24 * 3600 * 1000;
export const streamNotFound = 10_059;
const streamNameInUse = 10_058;

type StreamSettings = Partial<StreamConfig> & { readonly name: string; allow_direct: boolean };

/** Of storage that a server or an account does not have. */
const tooMuch: ReadonlySet<number> = new Set([10_002, 10_023, 10_047, 10_122]);
/** The account wants every stream to say how large it may become. */
const maxBytesRequired = 10_113;
/** The log stream's share where nobody has set one: the server reserves it at once, and a smaller one is tried where it has not so much. */
export const logBytesDefault = 2 ** 30;
/** Of one job. */
const jobLinesMax = 200_000;
export const streamBytesLeast = 2 ** 24;
/** For some thousand jobs: a bucket holds one value of each, of a megabyte at most. */
const bucketBytes = 2 ** 28;

export const logsName = "bitfleet_logs";
export const jobsStream = bucketConfig("bitfleet_jobs");
export const lockStream = bucketConfig("bitfleet_lock");

export class Streams {
  readonly #manager: JetStreamManager;
  readonly #settings: readonly StreamSettings[];
  /** When each was made: one of the same name made later holds nothing that we know of. */
  readonly #madeAt = new Map<string, string>();
  readonly #onSmaller: (name: string, bytes: number, wanted: number) => void;
  #emptied = new Set<string>();

  /** `onSmaller` hears of a stream that was made with another bound than was asked for; -1 is none. */
  constructor(
    manager: JetStreamManager,
    settings: readonly StreamSettings[],
    onSmaller: (name: string, bytes: number, wanted: number) => void,
  ) {
    this.#manager = manager;
    this.#settings = settings;
    this.#onSmaller = onSmaller;
  }

  /** Makes what is missing. Returns the names of those that are not the ones that were there before. */
  async ensure(): Promise<ReadonlySet<string>> {
    for (const settings of this.#settings) {
      const { name } = settings;
      const madeAt = await this.#ensure(settings);
      const before = this.#madeAt.get(name);
      if (before !== undefined && before !== madeAt) this.#emptied.add(name);
      this.#madeAt.set(name, madeAt);
    }
    const emptied = this.#emptied;
    this.#emptied = new Set();
    return emptied;
  }

  async #ensure(settings: StreamSettings): Promise<string> {
    const { name, allow_direct } = settings;
    const { streams } = this.#manager;
    try {
      // What an operator has set on a stream that is there (replicas, limits) stays as it is.
      const { config, created } = await streams.info(name);
      if (config.allow_direct !== allow_direct)
        await streams.update(name, { ...config, allow_direct });
      return created;
    } catch (error) {
      if (apiCode(error) !== streamNotFound) throw error;
      return this.#make(settings);
    }
  }

  async #make(settings: StreamSettings): Promise<string> {
    try {
      return await this.#add(settings);
    } catch (error) {
      const smaller = smallerThan(settings, error);
      if (smaller === undefined) throw error;
      return this.#make(smaller);
    }
  }

  async #add(settings: StreamSettings): Promise<string> {
    const { streams } = this.#manager;
    try {
      // No version of what a lost stream held is ever one of the new one's: whoever names it is refused.
      const { config, created } = await streams.add({ ...settings, first_seq: Date.now() });
      const wanted = this.#settings.find(({ name }) => name === settings.name)?.max_bytes ?? -1;
      if (config.max_bytes !== wanted) this.#onSmaller(settings.name, config.max_bytes, wanted);
      return created;
    } catch (error) {
      // Another was faster.
      if (apiCode(error) !== streamNameInUse) throw error;
      return (await streams.info(settings.name)).created;
    }
  }
}

/** What to ask for instead where the server has less room, or wants a bound; undefined where that would not help. */
function smallerThan(settings: StreamSettings, error: unknown): StreamSettings | undefined {
  const code = apiCode(error);
  const { name, max_bytes: bytes = -1 } = settings;
  if (code === maxBytesRequired && bytes <= 0)
    return { ...settings, max_bytes: name === lockStream.name ? streamBytesLeast : bucketBytes };
  if (!isTooMuch(error) || bytes / 2 < streamBytesLeast) return undefined;
  return { ...settings, max_bytes: bytes / 2 };
}

/** The layout of a NATS key-value bucket, so that NATS' own tools show it. */
function bucketConfig(bucket: string): StreamSettings {
  return {
    name: `KV_${bucket}`,
    subjects: [`$KV.${bucket}.>`],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    deny_delete: true,
    allow_direct: false,
  };
}

export function logStream(options: {
  readonly logBytesMax?: number | undefined;
  readonly logDays?: number;
}): StreamSettings {
  return {
    name: logsName,
    subjects: ["bitfleet.logs.*"],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_bytes: options.logBytesMax ?? logBytesDefault,
    // A job that says very much loses its own oldest lines, before it takes the others'.
    max_msgs_per_subject: jobLinesMax,
    max_age: nanos((options.logDays ?? 30) * dayMs),
    allow_direct: true,
  };
}

export function isTooMuch(error: unknown): boolean {
  return tooMuch.has(apiCode(error) ?? 0);
}

/** What JetStream itself has answered, undefined for any other error. */
export function apiError(error: unknown): ApiError | undefined {
  return error instanceof NatsError ? (error.api_error ?? undefined) : undefined;
}

/** The number that JetStream gives an error, undefined for any other. */
export function apiCode(error: unknown): number | undefined {
  return apiError(error)?.err_code;
}

/** One token of a subject: what is more would reach other subjects. */
export function checkToken(token: string): string {
  if (!/^[A-Za-z0-9-]{1,63}$/.test(token))
    throw new FailureError(`"${token}" cannot name a record: letters, digits and hyphens only`);
  return token;
}
