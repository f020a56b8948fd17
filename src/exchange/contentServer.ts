import { contentKey, type Content } from "./content.js";
import type { CollectorLimits } from "./collector.js";
import type { Counters } from "./counters.js";
import type { Gathering } from "./gathering.js";
import type { Units } from "./units.js";

/** Requests kept at most; more are refused and counted, and asked again by their senders. */
export const queuedRequestsMax = 16_384;

/** A part to be sent. */
export interface Answer {
  readonly peer: string;
  readonly content: Content;
  readonly units: Units;
  readonly bytes: Uint8Array;
}

interface Request {
  readonly id: string;
  readonly peer: string;
  readonly content: Content;
  readonly units: Units;
}

/**
 * Queues the requests of peers, never payloads: an answer is made when the shell asks for the next
 * one. A request for what is not there yet waits.
 */
export class ContentServer {
  readonly #source: (content: Content) => Gathering | undefined;
  readonly #chunkUnits: number;
  readonly #counters: Counters;
  readonly #waiting = new Map<string, Map<string, Request>>();
  readonly #ready = new Map<string, Request>();
  /** When requests were answered lately, oldest first. */
  readonly #answeredAtMs = new Map<string, number>();
  readonly #onItsWayMs: number;
  #queued = 0;

  /** `source` gives what there is of a content so far. */
  constructor(
    source: (content: Content) => Gathering | undefined,
    limits: CollectorLimits,
    counters: Counters,
  ) {
    this.#source = source;
    this.#chunkUnits = limits.chunkUnits;
    this.#onItsWayMs = limits.retryMs / 4;
    this.#counters = counters;
  }

  /**
   * Queues a request; one that is queued already changes nothing. Nor does one that was answered
   * just now: a peer that waited long repeats itself, and the repeat has met the answer.
   */
  request(peer: string, content: Content, units: Units, nowMs: number): void {
    const key = contentKey(content);
    const id = idOf(peer, content, units);
    this.#forgetAnswersBefore(nowMs - this.#onItsWayMs);
    if (this.#answeredAtMs.has(id)) return;
    this.#enqueue({ id, peer, content, units }, key);
  }

  #enqueue(request: Request, key: string): void {
    const { id, content, units } = request;
    const waiting = this.#waiting.get(key) ?? new Map<string, Request>();
    if (this.#ready.has(id) || waiting.has(id)) return;
    if (this.#queued >= queuedRequestsMax) {
      this.#counters.overflow += 1;
      return;
    }
    this.#queued += 1;
    if (this.#source(content)?.holds(units) === true) {
      this.#ready.set(id, request);
    } else {
      this.#waiting.set(key, waiting.set(id, request));
    }
  }

  /** Says that more of the content is there. */
  wake(content: Content): void {
    const waiting = this.#waiting.get(contentKey(content));
    const source = this.#source(content);
    if (waiting === undefined || source === undefined) return;
    for (const request of waiting.values()) {
      if (!source.holds(request.units)) continue;
      waiting.delete(request.id);
      this.#ready.set(request.id, request);
    }
  }

  /** Forgets the requests of peers that are gone. */
  keep(isThere: (peer: string) => boolean): void {
    for (const requests of [this.#ready, ...this.#waiting.values()]) {
      for (const { id, peer } of requests.values()) {
        if (isThere(peer)) continue;
        requests.delete(id);
        this.#queued -= 1;
      }
    }
  }

  /** The next answer, at most a chunk, or undefined when nothing that was asked for is there. */
  next(nowMs: number): Answer | undefined {
    for (const request of this.#ready.values()) {
      const { id, peer, content, units } = request;
      this.#ready.delete(id);
      this.#queued -= 1;
      const source = this.#source(content);
      if (source === undefined) continue;
      const now = { first: units.first, end: Math.min(units.end, units.first + this.#chunkUnits) };
      // A peer whose server lets larger messages through gets its chunk in several.
      const rest = { first: now.end, end: units.end };
      if (now.end < units.end) {
        const next = { id: idOf(peer, content, rest), peer, content, units: rest };
        this.#enqueue(next, contentKey(content));
      }
      this.#answeredAtMs.set(id, nowMs);
      return { peer, content, units: now, bytes: source.viewBytes(now) };
    }
    return undefined;
  }

  #forgetAnswersBefore(timeMs: number): void {
    for (const [id, atMs] of this.#answeredAtMs) {
      if (atMs >= timeMs) return;
      this.#answeredAtMs.delete(id);
    }
  }
}

function idOf(peer: string, content: Content, { first, end }: Units): string {
  return `${peer} ${contentKey(content)} ${first}-${end}`;
}
