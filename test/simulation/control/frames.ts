import type { Frame } from "../../../src/exchange/content.js";
import type { Process } from "./process.js";
import type { World } from "./world.js";

interface Inbox {
  readonly process: Process;
  readonly take: (frame: Frame) => void;
  /** The link was cut and is there again. */
  readonly reconnected: () => void;
}

/** Which way a worker is cut off. */
export type Way = "out" | "in" | "both";

interface Cut {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly way: Way;
}

/** Frames that are kept to be delivered once more, long after they were sent. */
const keptMax = 128;

/** NATS core: no order, no promise. */
export class Frames {
  /** Chances that a frame is lost, comes twice, or comes late. */
  loss = 0;
  repeats = 0;
  delays = 0;
  readonly #world: World;
  readonly #inboxes = new Map<string, Inbox>();
  readonly #cuts = new Map<string, Cut>();
  readonly #kept: { readonly to: string; readonly frame: Frame }[] = [];
  #next = 0;
  #down: Cut | undefined;

  constructor(world: World) {
    this.#world = world;
  }

  listen(address: string, inbox: Inbox): void {
    this.#inboxes.set(address, inbox);
  }

  /** Cuts a worker off for a while. One way only, and nobody is told; both ways, and it connects again. */
  cut(address: string, forMs: number, way: Way): void {
    const { nowMs } = this.#world;
    this.#cuts.set(address, { sinceMs: nowMs, untilMs: nowMs + forMs, way });
    this.#world.after(forMs, () => {
      if (way === "both") this.#reconnect(address);
    });
  }

  /** Nobody hears anybody for a while. */
  stopFor(ms: number): void {
    const { nowMs } = this.#world;
    this.#down = { sinceMs: nowMs, untilMs: nowMs + ms, way: "both" };
    this.#world.after(ms, () => {
      for (const address of this.#inboxes.keys()) this.#reconnect(address);
    });
  }

  /** Since when a worker has had no round trip; 1 ms where all is well. */
  silentMs(address: string): number {
    const cut = this.#cutOf(address) ?? this.#downNow;
    return cut === undefined ? 1 : this.#world.nowMs - cut.sinceMs;
  }

  heal(): void {
    this.#cuts.clear();
    this.#down = undefined;
    this.loss = 0;
    this.repeats = 0;
    this.delays = 0;
  }

  /** Delivers old frames again; gives how many. */
  haunt(): number {
    for (const { to, frame } of this.#kept) this.#deliver(to, frame, this.#world.between(0, 50));
    return this.#kept.length;
  }

  send(to: string, frame: Frame): void {
    if (this.#isCut(frame.from, "out")) return;
    const world = this.#world;
    if (this.loss > 0 && world.chance(this.loss)) return;
    // What is sent is on its way, whatever becomes of the sender's memory.
    const sent = frame.kind === "data" ? { ...frame, bytes: frame.bytes.slice() } : frame;
    this.#keep(to, sent);
    const isLate = this.delays > 0 && world.chance(this.delays);
    this.#deliver(to, sent, isLate ? world.between(100, 5_000) : world.between(0, 8));
    if (this.repeats > 0 && world.chance(this.repeats)) {
      this.#deliver(to, sent, world.between(0, 1_000));
    }
  }

  #deliver(to: string, frame: Frame, ms: number): void {
    const inbox = this.#inboxes.get(to);
    if (inbox === undefined) return;
    this.#world.after(ms, () => {
      inbox.process.do(() => {
        if (!this.#isCut(to, "in")) inbox.take(frame);
      });
    });
  }

  #keep(to: string, frame: Frame): void {
    this.#kept[this.#next] = { to, frame };
    this.#next = (this.#next + 1) % keptMax;
  }

  #reconnect(address: string): void {
    if (this.#isCut(address, "out") || this.#isCut(address, "in")) return;
    const inbox = this.#inboxes.get(address);
    inbox?.process.do(inbox.reconnected);
  }

  #isCut(address: string, way: "out" | "in"): boolean {
    if (this.#cuts.size === 0 && this.#down === undefined) return false;
    const cut = this.#cutOf(address);
    return this.#downNow !== undefined || cut?.way === "both" || cut?.way === way;
  }

  #cutOf(address: string): Cut | undefined {
    const cut = this.#cuts.get(address);
    return cut !== undefined && cut.untilMs > this.#world.nowMs ? cut : undefined;
  }

  get #downNow(): Cut | undefined {
    return this.#down !== undefined && this.#down.untilMs > this.#world.nowMs
      ? this.#down
      : undefined;
  }
}
