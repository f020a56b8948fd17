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
  type JetStreamManager,
  type StreamConfig,
} from "nats";

const dayMs = 24 * 3600 * 1000;
export const streamNotFound = 10_059;
const streamNameInUse = 10_058;

type StreamSettings = Partial<StreamConfig> & { readonly name: string; allow_direct: boolean };

export const logsName = "bitfleet_logs";
export const jobsStream = bucketConfig("bitfleet_jobs");
export const lockStream = bucketConfig("bitfleet_lock");

export class Streams {
  readonly #manager: JetStreamManager;
  readonly #settings: readonly StreamSettings[];
  /** When each was made: one of the same name made later holds nothing that we know of. */
  readonly #madeAt = new Map<string, string>();
  #emptied = new Set<string>();

  constructor(manager: JetStreamManager, settings: readonly StreamSettings[]) {
    this.#manager = manager;
    this.#settings = settings;
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
    const { streams } = this.#manager;
    try {
      // No version of what a lost stream held is ever one of the new one's: whoever names it is refused.
      return (await streams.add({ ...settings, first_seq: Date.now() })).created;
    } catch (error) {
      // Another was faster.
      if (apiCode(error) !== streamNameInUse) throw error;
      return (await streams.info(settings.name)).created;
    }
  }
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
  readonly logBytesMax?: number;
  readonly logDays?: number;
}): StreamSettings {
  return {
    name: logsName,
    subjects: ["bitfleet.logs.*"],
    storage: StorageType.File,
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.Old,
    max_bytes: options.logBytesMax ?? 2 ** 30,
    max_age: nanos((options.logDays ?? 30) * dayMs),
    allow_direct: true,
  };
}

/** The number that JetStream gives an error, undefined for any other. */
export function apiCode(error: unknown): number | undefined {
  return error instanceof NatsError ? error.api_error?.err_code : undefined;
}
