import { contentKey, type Content } from "./content.js";
import type { Counters } from "./counters.js";
import type { Gathering } from "./gathering.js";
import type { Units } from "./units.js";

/** A wish for units of a content that a peer has or will have. */
export interface Want {
  readonly content: Content;
  readonly units: Units;
  /** The address to ask. */
  readonly peer: string;
  readonly into: Gathering;
  /**
   * Nodes and sums have windows of their own: the answer to a question for a sum may have to wait
   * for nodes, so questions for sums must never keep questions for nodes from being asked.
   */
  readonly flow: Flow;
}

export type Flow = "node" | "sum" | "state";

/** A question to be sent. */
export interface Ask {
  readonly peer: string;
  readonly content: Content;
  readonly units: Units;
}

export interface CollectorLimits {
  /** Units that one question asks for at most. */
  readonly chunkUnits: number;
  /** Units asked for and not yet here, per flow, all peers together. */
  readonly windowUnits: number;
  /** Silence of a peer after which what was asked of it is asked again. */
  readonly retryMs: number;
}

interface Open {
  readonly units: Units;
  askedAtMs: number;
  missing: number;
}

interface Wanted extends Want {
  readonly key: string;
  /** Every unit before it is held, asked for or needless. */
  cursor: number;
  readonly open: Open[];
}

const flows: readonly Flow[] = ["node", "sum", "state"];

/**
 * Collects parts of contents from peers: asks chunk by chunk within a window, takes what answers,
 * and asks again what does not come. Taking a chunk twice changes nothing.
 */
export class Collector {
  readonly #limits: CollectorLimits;
  readonly #counters: Counters;
  readonly #heardAtMs = new Map<string, number>();
  readonly #again: Ask[] = [];
  #wanted: Wanted[] = [];
  /** What is wanted, by flow. */
  #flows: readonly (readonly Wanted[])[] = [];
  #turn = 0;

  constructor(limits: CollectorLimits, counters: Counters) {
    this.#limits = limits;
    this.#counters = counters;
  }

  /**
   * From now on wants these and nothing else. Questions that are still good (same content, same
   * peer) stay open; the others are forgotten, and their answers no longer expected.
   */
  plan(wants: readonly Want[]): void {
    const old = this.#wanted;
    this.#again.length = 0;
    this.#wanted = wants.map((want) => ({
      key: contentKey(want.content),
      cursor: want.units.first,
      open: [],
      ...want,
    }));
    this.#flows = flows.map((flow) => this.#wanted.filter((want) => want.flow === flow));
    for (const want of old) for (const open of want.open) this.#carryOver(want, open);
  }

  /** Copies what answers an open question into its place. */
  take(content: Content, units: Units, bytes: Uint8Array, nowMs: number): boolean {
    const key = contentKey(content);
    let taken = 0;
    let known = 0;
    for (const want of this.#wanted) {
      const first = Math.max(units.first, want.units.first);
      const end = Math.min(units.end, want.units.end);
      if (want.key !== key || first >= end) continue;
      const origin = want.into.grid.unitElements * units.first;
      for (let unit = first; unit < end; unit += 1) {
        if (want.into.isHeld(unit)) known += 1;
        if (!want.into.isAsked(unit)) continue;
        const run = { first: unit, end: endOfAsked(want, unit, end) };
        const target = want.into.viewBytes(run);
        const from = 4 * (want.into.grid.unitElements * unit - origin);
        target.set(bytes.subarray(from, from + target.length));
        want.into.hold(run);
        this.#settle(want, run);
        this.#counters.dataBytesTaken += target.length;
        this.#heardAtMs.set(want.peer, nowMs);
        taken += run.end - run.first;
        unit = run.end - 1;
      }
    }
    if (taken === 0) this.#counters[known > 0 ? "duplicates" : "unasked"] += 1;
    return taken > 0;
  }

  /** The next question to send, or undefined while the windows are full or nothing is missing. */
  next(nowMs: number): Ask | undefined {
    const again = this.#again.shift();
    if (again !== undefined) return again;
    for (const wanted of this.#flows) {
      const ask = this.#nextOf(wanted, nowMs);
      if (ask !== undefined) return ask;
    }
    return undefined;
  }

  /** Repeats every question whose peer has been silent for too long. */
  tick(nowMs: number): void {
    if (this.#again.length > 0) return; // The last repeats have not even been sent.
    for (const want of this.#wanted) {
      const heardAtMs = this.#heardAtMs.get(want.peer) ?? -Infinity;
      for (const open of want.open) {
        if (nowMs - Math.max(open.askedAtMs, heardAtMs) < this.#limits.retryMs) continue;
        open.askedAtMs = nowMs;
        this.#repeat(want, open);
      }
    }
  }

  /** Repeats every open question: after a reconnect, questions and answers are likely lost. */
  repeatAll(nowMs: number): void {
    this.#again.length = 0;
    for (const want of this.#wanted) {
      for (const open of want.open) {
        open.askedAtMs = nowMs;
        this.#repeat(want, open);
      }
    }
  }

  /** The addresses that questions are open to. */
  get waitingFor(): readonly string[] {
    return [...new Set(this.#wanted.filter(({ open }) => open.length > 0).map(({ peer }) => peer))];
  }

  #nextOf(wanted: readonly Wanted[], nowMs: number): Ask | undefined {
    const { windowUnits, chunkUnits } = this.#limits;
    if (!wanted.some((want) => nextMissing(want, chunkUnits) !== undefined)) return undefined;
    const peers = new Set(wanted.map(({ peer }) => peer)).size;
    const share = Math.max(chunkUnits, Math.floor(windowUnits / peers));
    const outstanding = new Map<string, number>();
    let total = 0;
    for (const want of wanted) {
      const units = want.open.reduce((sum, { missing }) => sum + missing, 0);
      outstanding.set(want.peer, (outstanding.get(want.peer) ?? 0) + units);
      total += units;
    }
    for (let i = 0; i < wanted.length; i += 1) {
      const want = wanted[(this.#turn + i) % wanted.length];
      const run = want === undefined ? undefined : nextMissing(want, chunkUnits);
      if (want === undefined || run === undefined) continue;
      const size = run.end - run.first;
      const ofPeer = outstanding.get(want.peer) ?? 0;
      // A chunk may always be asked for, or a window below a chunk would stop everything.
      if ((total > 0 && total + size > windowUnits) || (ofPeer > 0 && ofPeer + size > share)) {
        continue;
      }
      this.#turn = (this.#turn + i + 1) % wanted.length;
      want.into.ask(run);
      want.open.push({ units: run, askedAtMs: nowMs, missing: size });
      want.cursor = run.end;
      return { peer: want.peer, content: want.content, units: run };
    }
    return undefined;
  }

  #carryOver(old: Wanted, open: Open): void {
    const want = this.#wanted.find(
      ({ key, peer, into }) => key === old.key && peer === old.peer && into.covers(open.units),
    );
    const { first, end } = open.units;
    if (want === undefined || want.units.first > first || end > want.units.end) {
      old.into.forget(open.units);
      return;
    }
    if (want.into !== old.into) {
      for (let unit = first; unit < end; unit += 1) {
        if (want.into.isMissing(unit)) want.into.ask({ first: unit, end: unit + 1 });
      }
    }
    const missing = countAsked(want.into, open.units);
    if (missing > 0) want.open.push({ ...open, missing });
  }

  #repeat(want: Wanted, { units }: Open): void {
    for (let unit = units.first; unit < units.end; unit += 1) {
      if (!want.into.isAsked(unit)) continue;
      const run = { first: unit, end: endOfAsked(want, unit, units.end) };
      this.#again.push({ peer: want.peer, content: want.content, units: run });
      this.#counters.requestsRepeated += 1;
      unit = run.end - 1;
    }
  }

  /** Closes the questions that have been answered whole. */
  #settle(want: Wanted, { first, end }: Units): void {
    for (let i = want.open.length - 1; i >= 0; i -= 1) {
      const open = want.open[i];
      if (open === undefined) continue;
      const overlap = Math.min(end, open.units.end) - Math.max(first, open.units.first);
      if (overlap > 0) open.missing -= overlap;
      if (open.missing === 0) want.open.splice(i, 1);
    }
  }
}

function nextMissing(want: Wanted, chunkUnits: number): Units | undefined {
  const last = want.units.end;
  while (want.cursor < last && !want.into.isMissing(want.cursor)) want.cursor += 1;
  const first = want.cursor;
  let end = first;
  while (end < last && end - first < chunkUnits && want.into.isMissing(end)) end += 1;
  return end > first ? { first, end } : undefined;
}

function endOfAsked(want: Wanted, first: number, limit: number): number {
  let end = first;
  while (end < limit && want.into.isAsked(end)) end += 1;
  return end;
}

function countAsked(gathering: Gathering, { first, end }: Units): number {
  let count = 0;
  for (let unit = first; unit < end; unit += 1) if (gathering.isAsked(unit)) count += 1;
  return count;
}
