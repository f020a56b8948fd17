import type { Buffers } from "./bufferPool.js";
import { answerFrame, askFrame, type Channel, type Correspondent } from "./channel.js";
import { Collector } from "./collector.js";
import type { Content, Frame, Outbound } from "./content.js";
import { ContentServer } from "./contentServer.js";
import { Gathering } from "./gathering.js";
import { segment, unitCount, unitsOf, type Grid } from "./units.js";

/** How a joiner gets the parameters and the momentum that the others hold. */
const state: Content = { kind: "state" };

export interface StateOptions {
  readonly job: string;
  readonly attempt: number;
  /** Updates that the state has behind it. */
  readonly step: number;
  readonly grid: Grid;
  readonly channel: Channel;
}

/** A donor's side: serves one snapshot, which nobody may write to meanwhile. */
export class StateOffer implements Correspondent {
  readonly #options: StateOptions;
  readonly #server: ContentServer;

  constructor(options: StateOptions, values: Float32Array) {
    this.#options = options;
    const whole = Gathering.whole(options.grid, values);
    const { limits, counters } = options.channel;
    this.#server = new ContentServer(() => whole, limits, counters);
  }

  receive(frame: Frame, nowMs: number): void {
    const units = unitsOf(this.#options.grid, frame.offset, frame.length);
    if (units === undefined) this.#options.channel.counters.bad += 1;
    else if (frame.kind === "request") this.#server.request(frame.from, state, units, nowMs);
    else this.#options.channel.counters.unasked += 1;
  }

  next(nowMs: number): Outbound | undefined {
    const answer = this.#server.next(nowMs);
    const { channel } = this.#options;
    return answer && answerFrame({ trial: 0, ...this.#options }, channel, answer);
  }

  tick(): void {
    // A donor waits for nothing.
  }

  repeatAll(): void {
    // The joiner asks again.
  }
}

/** A joiner's side: collects the snapshot, from several donors if there are several. */
export class StateCollection implements Correspondent {
  readonly attempt: number;
  readonly step: number;
  readonly #options: StateOptions;
  readonly #buffers: Buffers;
  readonly #collector: Collector;
  readonly #values: Gathering;

  constructor(options: StateOptions, buffers: Buffers) {
    this.attempt = options.attempt;
    this.step = options.step;
    this.#options = options;
    this.#buffers = buffers;
    this.#collector = new Collector(options.channel.limits, options.channel.counters);
    const { grid } = options;
    this.#values = new Gathering(
      grid,
      { first: 0, end: unitCount(grid) },
      buffers.allocate(grid.elements),
    );
  }

  /** Asks these addresses from now on; what came from others before is kept. */
  from(addresses: readonly string[]): void {
    this.#collector.plan(
      addresses.map((peer, rank) => ({
        content: state,
        units: segment(this.#options.grid, rank, addresses.length),
        peer,
        into: this.#values,
        flow: "state",
      })),
    );
  }

  receive(frame: Frame, nowMs: number): void {
    const units = unitsOf(this.#options.grid, frame.offset, frame.length);
    if (units === undefined || frame.kind === "request") this.#options.channel.counters.bad += 1;
    else this.#collector.take(state, units, frame.bytes, nowMs);
  }

  tick(nowMs: number): void {
    this.#collector.tick(nowMs);
  }

  repeatAll(nowMs: number): void {
    this.#collector.repeatAll(nowMs);
  }

  next(nowMs: number): Outbound | undefined {
    const ask = this.#collector.next(nowMs);
    const { channel } = this.#options;
    return ask && askFrame({ trial: 0, ...this.#options }, channel, ask);
  }

  /** The snapshot, once all of it is here; belongs to this object until `close`. */
  get finished(): Float32Array | undefined {
    return this.#values.complete ? this.#values.values : undefined;
  }

  close(): void {
    this.#buffers.release(this.#values.values);
  }
}
