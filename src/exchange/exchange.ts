import { assert } from "../job/problem.js";
import { AllReduce } from "./allReduce.js";
import type { Buffers } from "./bufferPool.js";
import type { Channel, Correspondent } from "./channel.js";
import { type Frame, type Outbound, type RequestFrame, contentKey } from "./content.js";
import { newCounters, type Counters } from "./counters.js";
import { StateCollection, StateOffer, type StateOptions } from "./stateTransfer.js";
import { unitElementsDefault } from "./units.js";

/** Early requests kept at most, and for how long: their senders ask again. */
const earlyMax = 4096;
const earlyKeptMs = 5000;

/**
 * Of so many frames with values one is for a joiner, where both wait: else a joiner of a job that
 * exchanges without pause would never get its state.
 */
const stateTurn = 4;

export interface ExchangeOptions {
  readonly job: string;
  /** This worker's id, as in the deals. */
  readonly self: string;
  /** Where this process listens for frames. */
  readonly address: string;
  readonly buffers: Buffers;
  /** What one message of this process may carry; at least a unit. */
  readonly chunkElements: number;
  /** Bytes asked for and not yet here, per kind of content, all peers together. */
  readonly windowBytes?: number;
  /** Silence of a peer after which what was asked of it is asked again. */
  readonly retryMs?: number;
  /** The same on all ranks of a job. */
  readonly unitElements?: number;
}

/**
 * Far below the 64 MiB that a client may leave unread before the server drops it, and little
 * enough that the answer to a ping, which queues behind it, comes in time over 100 Mbit/s. On
 * loopback 4, 8 and 16 MiB took the same time.
 */
export const windowBytesDefault = 8 * 1024 * 1024;

export const retryMsDefault = 1000;

export type ExchangeEvent =
  | {
      readonly kind: "sum-finished";
      readonly attempt: number;
      readonly step: number;
      readonly trial: number;
      /** Belongs to the exchange until `end`, or until a deal of a higher trial. */
      readonly sum: Float32Array;
    }
  | {
      readonly kind: "state-collected";
      readonly attempt: number;
      readonly step: number;
      /** Belongs to the exchange until `endCollection`. */
      readonly state: Float32Array;
    };

/** The place of a round in a job's history. */
export interface Moment {
  readonly attempt: number;
  readonly step: number;
}

/**
 * All that one process exchanges for one job: the all-reduce of the current step, often that of
 * the next, which a faster peer asks about already, and snapshots for joiners. Frames find their
 * way by (attempt, step).
 */
export class Exchange {
  readonly counters: Counters = newCounters();
  readonly #options: ExchangeOptions;
  readonly #unitElements: number;
  readonly #channel: Channel;
  readonly #rounds = new Map<string, AllReduce>();
  readonly #offers = new Map<string, StateOffer>();
  readonly #collections = new Map<string, StateCollection>();
  readonly #early = new Map<string, { readonly frame: RequestFrame; readonly atMs: number }>();
  readonly #announced = new Map<AllReduce | StateCollection, number>();
  #newestEnded: Moment | undefined;
  /** Frames with values of the rounds since the last one of a snapshot. */
  #sinceState = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#unitElements = options.unitElements ?? unitElementsDefault;
    const units = (elements: number): number =>
      Math.max(1, Math.floor(elements / this.#unitElements));
    this.#channel = {
      address: options.address,
      limits: {
        chunkUnits: units(options.chunkElements),
        windowUnits: units((options.windowBytes ?? windowBytesDefault) / 4),
        retryMs: options.retryMs ?? retryMsDefault,
      },
      counters: this.counters,
    };
  }

  /** Begins a step's all-reduce; its deal follows. */
  begin(moment: Moment & { readonly elements: number; readonly shardCount: number }): AllReduce {
    const { attempt, step, elements, shardCount } = moment;
    const { job, self, buffers } = this.#options;
    assert(!this.#rounds.has(keyOf(moment)), `step ${step} of attempt ${attempt} has begun`);
    const round = new AllReduce({
      job,
      attempt,
      step,
      self,
      shardCount,
      buffers,
      grid: { elements, unitElements: this.#unitElements },
      channel: this.#channel,
    });
    this.#rounds.set(keyOf(moment), round);
    this.#replayEarly(moment, round, false);
    return round;
  }

  round(moment: Moment): AllReduce | undefined {
    return this.#rounds.get(keyOf(moment));
  }

  /** Ends a step: its vectors are released, and frames about it are stale. */
  end(moment: Moment): void {
    const round = this.round(moment);
    if (round === undefined) return;
    round.close();
    this.#announced.delete(round);
    this.#rounds.delete(keyOf(moment));
    if (isAfter(moment, this.#newestEnded)) {
      this.#newestEnded = { attempt: moment.attempt, step: moment.step };
    }
  }

  /** Serves a snapshot to joiners; nobody may write to `values` until `endOffer`. */
  offerState(moment: Moment, values: Float32Array): void {
    const offer = new StateOffer(this.#stateOptions(moment, values.length), values);
    this.#offers.set(keyOf(moment), offer);
    this.#replayEarly(moment, offer, true);
  }

  endOffer(moment: Moment): void {
    this.#offers.delete(keyOf(moment));
  }

  /** Collects a snapshot of `elements` values; a second call changes whom it is asked of. */
  collectState(moment: Moment, elements: number, from: readonly string[]): void {
    const collection =
      this.#collections.get(keyOf(moment)) ??
      new StateCollection(this.#stateOptions(moment, elements), this.#options.buffers);
    this.#collections.set(keyOf(moment), collection);
    collection.from(from);
  }

  endCollection(moment: Moment): void {
    const collection = this.#collections.get(keyOf(moment));
    if (collection === undefined) return;
    collection.close();
    this.#announced.delete(collection);
    this.#collections.delete(keyOf(moment));
  }

  receive(frame: Frame, nowMs: number): void {
    const correspondent = this.#correspondent(frame);
    if (correspondent !== undefined) correspondent.receive(frame, nowMs);
    else if (frame.kind === "request" && this.#mayBeEarly(frame)) this.#keepEarly(frame, nowMs);
    else this.counters.stale += 1;
  }

  /** Lets time pass: asks again for what has not come. Call it several times per `retryMs`. */
  tick(nowMs: number): void {
    for (const correspondent of this.#all()) correspondent.tick(nowMs);
    for (const [key, { atMs }] of this.#early) {
      if (nowMs - atMs >= earlyKeptMs) this.#early.delete(key);
    }
  }

  /** Says that frames were lost on the way: the link was cut and is there again. */
  reconnected(nowMs: number): void {
    for (const correspondent of this.#all()) correspondent.repeatAll(nowMs);
  }

  /** The next frame to send, or undefined until something arrives or time passes. */
  next(nowMs: number): Outbound | undefined {
    const isStateTurn = this.#sinceState >= stateTurn - 1;
    const outbound =
      (isStateTurn ? firstOf(this.#offers.values(), nowMs) : undefined) ??
      firstOf(this.#rounds.values(), nowMs) ??
      firstOf(this.#collections.values(), nowMs) ??
      firstOf(this.#offers.values(), nowMs);
    if (outbound?.frame.kind !== "data") return outbound;
    this.#sinceState = outbound.frame.content.kind === "state" ? 0 : this.#sinceState + 1;
    return outbound;
  }

  /** What has finished since the last call. */
  events(): readonly ExchangeEvent[] {
    const events: ExchangeEvent[] = [];
    for (const round of this.#rounds.values()) {
      const { attempt, step, trial, finished: sum } = round;
      if (sum === undefined || this.#announced.get(round) === trial) continue;
      this.#announced.set(round, trial);
      events.push({ kind: "sum-finished", attempt, step, trial, sum });
    }
    for (const collection of this.#collections.values()) {
      const state = collection.finished;
      if (state === undefined || this.#announced.has(collection)) continue;
      this.#announced.set(collection, 0);
      const { attempt, step } = collection;
      events.push({ kind: "state-collected", attempt, step, state });
    }
    return events;
  }

  #all(): readonly Correspondent[] {
    return [...this.#rounds.values(), ...this.#collections.values(), ...this.#offers.values()];
  }

  #correspondent(frame: Frame): Correspondent | undefined {
    if (frame.job !== this.#options.job) return undefined;
    if (frame.content.kind !== "state") return this.#rounds.get(keyOf(frame));
    const side = frame.kind === "request" ? this.#offers : this.#collections;
    return side.get(keyOf(frame));
  }

  #mayBeEarly(frame: RequestFrame): boolean {
    if (frame.job !== this.#options.job) return false;
    return frame.content.kind === "state" || isAfter(frame, this.#newestEnded);
  }

  #keepEarly(frame: RequestFrame, nowMs: number): void {
    const { from, content, offset, length } = frame;
    const key = `${keyOf(frame)} ${from} ${contentKey(content)} ${offset}+${length}`;
    if (this.#early.size >= earlyMax && !this.#early.has(key)) this.counters.overflow += 1;
    else this.#early.set(key, { frame, atMs: nowMs });
  }

  #replayEarly(moment: Moment, to: Correspondent, isState: boolean): void {
    for (const [key, { frame, atMs }] of this.#early) {
      const isFor = keyOf(frame) === keyOf(moment) && (frame.content.kind === "state") === isState;
      if (!isFor) continue;
      this.#early.delete(key);
      to.receive(frame, atMs);
    }
  }

  #stateOptions(moment: Moment, elements: number): StateOptions {
    return {
      job: this.#options.job,
      attempt: moment.attempt,
      step: moment.step,
      grid: { elements, unitElements: this.#unitElements },
      channel: this.#channel,
    };
  }
}

function firstOf(correspondents: Iterable<Correspondent>, nowMs: number): Outbound | undefined {
  for (const correspondent of correspondents) {
    const outbound = correspondent.next(nowMs);
    if (outbound !== undefined) return outbound;
  }
  return undefined;
}

function keyOf({ attempt, step }: Moment): string {
  return `${attempt}/${step}`;
}

function isAfter(moment: Moment, other: Moment | undefined): boolean {
  if (other === undefined || moment.attempt > other.attempt) return true;
  return moment.attempt === other.attempt && moment.step > other.step;
}
