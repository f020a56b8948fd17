import type { JobRecord } from "../../../src/control/record.js";
import type { RecordBucket, Entry, Written } from "../../../src/link/jetstream.js";
import type { Codec } from "../../../src/wire/codec.js";
import { jobRecord } from "../../../src/wire/jobRecord.js";
import type { Process } from "./process.js";
import type { World } from "./world.js";

/** As the shell has them; see src/link/jetstream.ts. */
const requestTimeoutMs = 2_000;
const retryMs = 250;

interface Message {
  readonly value: Uint8Array;
  readonly revision: number;
  /** Tells the write that put it there from all others. */
  readonly writeId: string;
  readonly writer: Process;
}

export interface Connection {
  readonly onConnection: (isUp: boolean) => void;
  /** What was stored is gone. */
  readonly onEmptied: () => void;
}

/**
 * NATS JetStream with what a coordinator keeps in it. A request takes time both ways, and either
 * way may lose it: whoever has asked then does not know whether it was carried out. One that is
 * held back on its way may be carried out long after it was given up.
 */
export class JetStream {
  /** Chance that a request or its answer is lost, and that a request is held back for seconds. */
  trouble = 0;
  /** Fates of requests, by kind. */
  readonly lost = { requests: 0, answers: 0 };
  late = 0;
  readonly #world: World;
  readonly #messages = new Map<string, Message>();
  readonly #cutUntilMs = new Map<Process, number>();
  /** Until when the requests of a process are held back, and for how long. */
  readonly #heldBack = new Map<Process, { readonly untilMs: number; readonly ms: number }>();
  readonly #connections = new Map<Process, Connection>();
  readonly #onRecord: (record: JobRecord) => void;
  /** What the values stand for. */
  readonly #records = new WeakMap<Uint8Array, JobRecord>();
  #sequence = 0;
  #writes = 0;
  #downUntilMs = 0;
  /** How often all was lost, and how much of that each process knows: it finds out when it writes. */
  #wipes = 0;
  readonly #wipesKnown = new Map<Process, number>();

  /** `onRecord` hears of every record that becomes durable. */
  constructor(world: World, onRecord: (record: JobRecord) => void) {
    this.#world = world;
    this.#onRecord = onRecord;
  }

  /** Most records are replaced before anyone reads them: those that are read are encoded then. */
  readonly codec: Codec<JobRecord> = {
    encode: (record) => {
      const value = new Uint8Array();
      this.#records.set(value, record);
      return value;
    },
    decode: (value) => jobRecord.decode(jobRecord.encode(this.#recordOf(value))),
  };

  /** The newest durable record of the job. */
  record(name: string): JobRecord | undefined {
    const message = this.#messages.get(`jobs.${name}`);
    return message === undefined ? undefined : this.#recordOf(message.value);
  }

  /** Says from now on whether that process has a connection, and what it has found. */
  connect(client: Process, connection: Connection): void {
    this.#connections.set(client, connection);
    this.#tellEmptied(client);
  }

  /** Loses all that it has stored. */
  wipe(): void {
    this.#messages.clear();
    // New streams number on, see src/link/jetstreamStreams.ts.
    this.#sequence += 1000;
    this.#wipes += 1;
  }

  /** Answers nobody for a while. With the whole server connections are lost as well. */
  stopFor(ms: number, isServer: boolean): void {
    this.#downUntilMs = Math.max(this.#downUntilMs, this.#world.nowMs + ms);
    if (isServer) for (const client of this.#connections.keys()) this.#interrupt(client, ms);
  }

  /** Out of reach of that process for a while. */
  cut(client: Process, ms: number): void {
    this.#cutUntilMs.set(client, this.#world.nowMs + ms);
    this.#interrupt(client, ms);
  }

  /** Carries out what that process asks for within the next moment only after so long. */
  holdBack(client: Process, ms: number): void {
    this.#heldBack.set(client, { untilMs: this.#world.nowMs + 500, ms });
  }

  heal(): void {
    this.trouble = 0;
    this.#downUntilMs = 0;
    this.#cutUntilMs.clear();
    this.#heldBack.clear();
  }

  /** What is gone by then its client never had. */
  bucket(name: string, client: Process): RecordBucket {
    this.#wipesKnown.set(client, this.#wipes);
    const prefix = `${name}.`;
    return {
      keys: () =>
        this.#request(client, () =>
          [...this.#messages.keys()].flatMap((key) =>
            key.startsWith(prefix) ? key.slice(prefix.length) : [],
          ),
        ),
      read: (key) =>
        this.#request<Entry | undefined>(client, () => {
          const message = this.#messages.get(prefix + key);
          return message && { isOurs: message.writer === client, ...message };
        }),
      write: (key, value, revision, signal) =>
        this.#write(prefix + key, { value, revision, writer: client }, signal),
      remove: (key, signal) => this.#remove(client, prefix + key, signal),
    };
  }

  async #write(
    key: string,
    message: Omit<Message, "writeId">,
    signal: AbortSignal,
  ): Promise<Written> {
    const { writer: client } = message;
    const writeId = String((this.#writes += 1));
    for (let ambiguous = false; ; ambiguous = true) {
      try {
        const written = await this.#request(client, () => this.#put(key, { writeId, ...message }));
        if (written !== undefined || !ambiguous) return written;
        const last = await this.#request(client, () => this.#messages.get(key));
        return last?.writeId === writeId ? last.revision : undefined;
      } catch {
        await client.sleep(retryMs, signal);
      }
    }
  }

  async #remove(client: Process, key: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        await this.#request(client, () => this.#messages.delete(key));
        return;
      } catch {
        await client.sleep(retryMs, signal);
      }
    }
  }

  #put(key: string, message: Message): Written {
    this.#tellEmptied(message.writer);
    if ((this.#messages.get(key)?.revision ?? 0) !== message.revision) return undefined;
    this.#sequence += 1;
    this.#messages.set(key, { ...message, revision: this.#sequence });
    if (key.startsWith("jobs.")) this.#onRecord(this.#recordOf(message.value));
    return this.#sequence;
  }

  #tellEmptied(client: Process): void {
    const connection = this.#connections.get(client);
    if (connection === undefined || this.#wipesKnown.get(client) === this.#wipes) return;
    this.#wipesKnown.set(client, this.#wipes);
    client.do(() => {
      connection.onEmptied();
    });
  }

  #recordOf(value: Uint8Array): JobRecord {
    const record = this.#records.get(value);
    if (record === undefined) throw new Error("a value of no record");
    return record;
  }

  /** One question and its answer. */
  #request<Answer>(client: Process, serve: () => Answer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let isOpen = true;
      const end = (act: () => void): void => {
        if (!isOpen) return;
        isOpen = false;
        this.#world.unsettle();
        act();
      };
      client.after(requestTimeoutMs, () => {
        end(() => {
          reject(new Error("no answer in time"));
        });
      });
      if (!this.#passes(client, "requests")) return;
      this.#world.after(this.#delayMs(client), () => {
        if (this.#isDown) return;
        const answer = serve();
        if (!this.#passes(client, "answers")) return;
        this.#world.after(this.#world.between(0, 5), () => {
          client.do(() => {
            end(() => {
              resolve(answer);
            });
          });
        });
      });
    });
  }

  /** It is noticed after some pings, if it lasts that long. */
  #interrupt(client: Process, ms: number): void {
    const noticedMs = this.#world.between(0, 3_000);
    if (noticedMs >= ms) return;
    const tell = (afterMs: number, isUp: boolean): void => {
      this.#world.after(afterMs, () => {
        client.do(() => this.#connections.get(client)?.onConnection(isUp));
      });
    };
    tell(noticedMs, false);
    tell(ms + this.#world.between(0, 400), true);
  }

  get #isDown(): boolean {
    return this.#downUntilMs > this.#world.nowMs;
  }

  #passes(client: Process, what: "requests" | "answers"): boolean {
    if (this.#isDown || (this.#cutUntilMs.get(client) ?? 0) > this.#world.nowMs) return false;
    if (!this.#world.chance(this.trouble)) return true;
    this.lost[what] += 1;
    return false;
  }

  #delayMs(client: Process): number {
    const held = this.#heldBack.get(client);
    if (held !== undefined && this.#world.nowMs < held.untilMs) {
      this.late += 1;
      return held.ms;
    }
    if (!this.#world.chance(this.trouble)) return this.#world.between(0, 5);
    this.late += 1;
    return this.#world.between(500, 6_000);
  }
}
