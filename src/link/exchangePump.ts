import type { Buffers } from "../exchange/bufferPool.js";
import type { Outbound } from "../exchange/content.js";
import type { Counters } from "../exchange/counters.js";
import type { Member } from "../exchange/allReduce.js";
import { Exchange, type ExchangeEvent, type Moment } from "../exchange/exchange.js";
import { WireError } from "../job/problem.js";
import { chunkElementsOf, decodeFrame, encodeFrame } from "../wire/frame.js";
import type { FrameLink, LinkHandlers, LinkStatus } from "./frameLink.js";

const tickMs = 100;

/** Bytes handed to the link between two flushes, and how many flushes may be on their way. */
const flushBytes = 2 * 1024 * 1024;
const flushesMax = 2;

export interface PumpOptions {
  readonly job: string;
  readonly workerId: string;
  readonly address: string;
  readonly buffers: Buffers;
  /** Opens the link on which frames for `address` arrive. */
  readonly connect: (handlers: LinkHandlers) => Promise<FrameLink>;
  readonly onEvent: (event: ExchangeEvent) => void;
  readonly onStatus: (status: LinkStatus) => void;
  /** Our own bug: the process should end. */
  readonly onFailure: (error: unknown) => void;
  readonly windowBytes?: number;
  readonly retryMs?: number;
}

/**
 * Joins the exchange of one job to a link: frames go in as they arrive, and are pulled out no
 * faster than the link takes them. Decides nothing.
 */
export class ExchangePump {
  readonly #options: PumpOptions;
  readonly #link: FrameLink;
  readonly #exchange: Exchange;
  readonly #timer: NodeJS.Timeout;
  readonly #flushes: Promise<void>[] = [];
  #isDraining = false;
  #isClosed = false;
  #badFrames = 0;
  #unflushedBytes = 0;
  readonly #unflushed: Uint8Array[] = [];
  readonly #memory: Uint8Array[] = [];

  private constructor(options: PumpOptions, link: FrameLink) {
    this.#options = options;
    this.#link = link;
    this.#exchange = new Exchange({
      job: options.job,
      self: options.workerId,
      address: options.address,
      buffers: options.buffers,
      chunkElements: chunkElementsOf(link.frameBytesMax),
      ...(options.windowBytes === undefined ? {} : { windowBytes: options.windowBytes }),
      ...(options.retryMs === undefined ? {} : { retryMs: options.retryMs }),
    });
    this.#timer = setInterval(() => {
      if (!link.isConnected) return;
      this.#do(() => this.#exchange.tick(performance.now()));
    }, tickMs);
  }

  static async start(options: PumpOptions): Promise<ExchangePump> {
    const started: { pump?: ExchangePump } = {};
    const link = await options.connect({
      onFrame: (bytes) => started.pump?.receive(bytes),
      onStatus: (status) => {
        started.pump?.onStatus(status);
        options.onStatus(status);
      },
    });
    return (started.pump = new ExchangePump(options, link));
  }

  begin(round: Moment & { readonly elements: number; readonly shardCount: number }): void {
    this.#do(() => this.#exchange.begin(round));
  }

  /** Passes on a deal or a regroup; of a step that has ended it changes nothing. */
  deal(
    moment: Moment,
    members: readonly Member[],
    followers: readonly string[] = [],
    trial = 0,
  ): void {
    this.#do(() => this.#exchange.round(moment)?.deal(members, followers, trial));
  }

  /** Hands over the vector of a finished shard; of a step that has ended it is released. */
  add(moment: Moment, shard: number, values: Float32Array): void {
    this.#do(() => {
      const round = this.#exchange.round(moment);
      if (round === undefined) this.#options.buffers.release(values);
      else round.add(shard, values);
    });
  }

  end(moment: Moment): void {
    this.#do(() => this.#exchange.end(moment));
  }

  offerState(moment: Moment, values: Float32Array): void {
    this.#do(() => this.#exchange.offerState(moment, values));
  }

  endOffer(moment: Moment): void {
    this.#do(() => this.#exchange.endOffer(moment));
  }

  collectState(moment: Moment, elements: number, from: readonly string[]): void {
    this.#do(() => this.#exchange.collectState(moment, elements, from));
  }

  endCollection(moment: Moment): void {
    this.#do(() => this.#exchange.endCollection(moment));
  }

  /** Ids of the workers that this step waits for. */
  waitingFor(moment: Moment): readonly string[] {
    return this.#exchange.round(moment)?.waitingFor ?? [];
  }

  roundTripAgeMs(): number {
    return this.#link.roundTripAgeMs();
  }

  get counters(): Readonly<Counters> {
    return { ...this.#exchange.counters, bad: this.#exchange.counters.bad + this.#badFrames };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#link.close();
  }

  receive(bytes: Uint8Array): void {
    this.#do(() => {
      try {
        this.#exchange.receive(decodeFrame(bytes), performance.now());
      } catch (error) {
        // A damaged frame is as good as a lost one: it is asked for again.
        if (!(error instanceof WireError)) throw error;
        this.#badFrames += 1;
      }
    });
  }

  onStatus(status: LinkStatus): void {
    if (status.kind !== "reconnected") return;
    this.#do(() => this.#exchange.reconnected(performance.now()));
  }

  #do(action: () => unknown): void {
    if (this.#isClosed) return;
    try {
      action();
    } catch (error) {
      this.#options.onFailure(error);
      return;
    }
    this.#announce();
    void this.#drain();
  }

  #announce(): void {
    for (const event of this.#exchange.events()) this.#options.onEvent(event);
  }

  async #drain(): Promise<void> {
    if (this.#isDraining) return;
    this.#isDraining = true;
    try {
      while (this.#link.isConnected && !this.#isClosed) {
        const outbound = this.#exchange.next(performance.now());
        this.#announce();
        if (outbound === undefined) break;
        this.#send(outbound);
        if (this.#unflushedBytes < flushBytes) continue;
        this.#flushes.push(this.#flush());
        if (this.#flushes.length >= flushesMax) await this.#flushes.shift();
      }
    } catch (error) {
      this.#options.onFailure(error);
    } finally {
      this.#isDraining = false;
    }
  }

  #send({ to, frame }: Outbound): void {
    const memory = frame.kind === "data" ? this.#takeMemory() : undefined;
    const bytes = encodeFrame(frame, memory);
    this.#link.send(to, bytes);
    if (memory !== undefined) this.#unflushed.push(memory);
    this.#unflushedBytes += bytes.length;
  }

  #takeMemory(): Uint8Array {
    const kept = this.#memory.pop();
    const { frameBytesMax } = this.#link;
    return kept?.length === frameBytesMax ? kept : Buffer.allocUnsafeSlow(frameBytesMax);
  }

  /** Fresh memory would cost a page fault every 4 kB, so that of flushed frames is used again. */
  async #flush(): Promise<void> {
    const memories = this.#unflushed.splice(0);
    this.#unflushedBytes = 0;
    await this.#link.flush();
    this.#memory.push(...memories);
  }
}
