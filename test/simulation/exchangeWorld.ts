import type { Member } from "../../src/exchange/allReduce.js";
import type { Buffers } from "../../src/exchange/bufferPool.js";
import type { Frame } from "../../src/exchange/content.js";
import { Exchange } from "../../src/exchange/exchange.js";
import { deal, dealMissing } from "../../src/plan/deal.js";
import { Random } from "../../src/plan/random.js";
import type { Range } from "../../src/plan/tree.js";

/**
 * Ranks, a coordinator and a network in one thread, under a seed. Time is a number. Keeps its own
 * ledger: what every node should be is computed here, from the shards, by other code.
 */
export interface Faults {
  readonly drop: number;
  readonly duplicate: number;
  /** Chance that a frame is kept and comes again much later, as from a server that was stopped. */
  readonly stale: number;
  /** Chance per millisecond and world that a rank dies. */
  readonly death: number;
  /** Chance per millisecond and rank that it stands still for a while. */
  readonly pause: number;
  /** Chance that a delivered frame comes after one that is nonsense. */
  readonly nonsense: number;
  readonly reconnect: number;
}

export const noFaults: Faults = {
  drop: 0,
  duplicate: 0,
  stale: 0,
  death: 0,
  pause: 0,
  nonsense: 0,
  reconnect: 0,
};

export interface WorldOptions {
  readonly ranks: number;
  /** Ranks that only collect the finished sum. */
  readonly followers: number;
  /** Followers stand still from the start. */
  readonly isDeaf?: boolean;
  readonly shardCount: number;
  readonly elements: number;
  readonly steps: number;
  readonly faults: Faults;
  readonly faultsEndMs: number;
  /** Time between two shards of a rank, at most. */
  readonly shardMs: number;
  readonly retryMs: number;
  readonly maxMs: number;
}

type Command =
  | { readonly kind: "begin"; readonly step: number }
  | {
      readonly kind: "deal";
      readonly step: number;
      readonly generation: number;
      readonly members: readonly Member[];
      readonly followers: readonly string[];
    };

interface Rank {
  readonly workerId: string;
  readonly address: string;
  readonly exchange: Exchange;
  readonly follows: boolean;
  readonly commands: { readonly atMs: number; readonly command: Command }[];
  readonly ranges: Range[];
  readonly computed: Set<number>;
  step: number;
  todo: { readonly shard: number; readonly atMs: number }[];
  pausedUntilMs: number;
  isAlive: boolean;
}

const attempt = 3;
export const unitElements = 4;

export class ExchangeWorld {
  readonly ranks: readonly Rank[];
  readonly fired = { ...noFaults };
  readonly finishedHolders = { count: 0 };
  readonly problems: string[] = [];
  /** Data bytes sent, by step. */
  readonly sentBytes: number[] = [];
  nowMs = 0;
  committed = 0;
  readonly #options: WorldOptions;
  readonly #random: Random;
  readonly #flying: { readonly to: string; readonly frame: Frame; readonly atMs: number }[] = [];
  readonly #reported = new Set<string>();
  #generation = 0;

  constructor(seed: number, options: WorldOptions) {
    this.#options = options;
    this.#random = new Random(seed, 77);
    this.ranks = Array.from({ length: options.ranks + options.followers }, (_, i) =>
      this.#newRank(i),
    );
    const members = this.#members();
    const ranges = deal(
      options.shardCount,
      members.map(() => 1 + this.#random.below(3)),
    );
    members.forEach((rank, i) => rank.ranges.push(...ranges.slice(i, i + 1)));
    this.#beginStep();
  }

  /** Runs until every step is committed; false if that takes longer than `maxMs`. */
  run(): boolean {
    while (this.committed < this.#options.steps && this.problems.length === 0) {
      if (this.nowMs >= this.#options.maxMs) return false;
      this.nowMs += 1;
      this.#inject();
      this.#deliver();
      for (const rank of this.#alive()) this.#work(rank);
      this.#commitIfAllReported();
    }
    return true;
  }

  get hasFaults(): boolean {
    return this.nowMs < this.#options.faultsEndMs;
  }

  #alive(): readonly Rank[] {
    return this.ranks.filter(({ isAlive }) => isAlive);
  }

  #members(): readonly Rank[] {
    return this.#alive().filter(({ follows }) => !follows);
  }

  #chance(probability: number): boolean {
    return this.hasFaults && this.#random.float() < probability;
  }

  #newRank(i: number): Rank {
    const chunkElements = unitElements * (1 + this.#random.below(4));
    const exchange = new Exchange({
      job: "sim",
      self: `w${i}`,
      address: `a${i}`,
      buffers: poisoned(),
      chunkElements,
      windowBytes: 4 * unitElements * (1 + this.#random.below(12)),
      retryMs: this.#options.retryMs,
      unitElements,
    });
    return {
      workerId: `w${i}`,
      address: `a${i}`,
      exchange,
      follows: i >= this.#options.ranks,
      commands: [],
      ranges: [],
      computed: new Set(),
      step: -1,
      todo: [],
      pausedUntilMs: 0,
      isAlive: true,
    };
  }

  #beginStep(): void {
    this.sentBytes.push(0);
    this.#reported.clear();
    for (const rank of this.#alive()) this.#command(rank, { kind: "begin", step: this.committed });
    this.#dealAll(false);
  }

  #dealAll(withFinished: boolean): void {
    this.#generation += 1;
    const followers = this.#alive().flatMap(({ follows, address }) => (follows ? address : []));
    const members = this.#members().map(({ workerId, address, ranges }): Member => {
      const finished = withFinished && this.#reported.has(workerId);
      return { workerId, address, ranges: [...ranges], ...(finished ? { finished } : {}) };
    });
    if (members.some(({ finished }) => finished === true)) this.finishedHolders.count += 1;
    for (const rank of this.#alive()) {
      const { committed: step } = this;
      this.#command(rank, {
        ...{ kind: "deal", step, generation: this.#generation, members, followers },
      });
    }
  }

  /** Commands to one rank keep their order, but come at any time. */
  #command(rank: Rank, command: Command): void {
    const last = rank.commands.at(-1)?.atMs ?? this.nowMs;
    rank.commands.push({ atMs: Math.max(last, this.nowMs) + this.#random.below(20), command });
  }

  #inject(): void {
    const { faults } = this.#options;
    if (this.#members().length > 1 && this.#chance(faults.death)) this.#kill();
    for (const rank of this.#alive()) {
      if (this.#chance(faults.pause)) {
        this.fired.pause += 1;
        rank.pausedUntilMs = this.nowMs + this.#random.below(150);
      }
      if (this.#chance(faults.reconnect)) {
        this.fired.reconnect += 1;
        rank.exchange.reconnected(this.nowMs);
      }
    }
  }

  #kill(): void {
    const alive = this.#members();
    const victim = alive[this.#random.below(alive.length)];
    if (victim === undefined) return;
    this.fired.death += 1;
    victim.isAlive = false;
    const survivors = this.#members();
    const someoneFinished = survivors.some(({ workerId }) => this.#reported.has(workerId));
    const isOracle = someoneFinished && this.#random.below(2) === 0;
    const taken = dealMissing(
      victim.ranges,
      survivors.map(({ ranges }) => ranges.reduce((sum, { first, end }) => sum + end - first, 0)),
      survivors.map(() => 1 + this.#random.below(3)),
    );
    survivors.forEach((rank, i) => rank.ranges.push(...(taken[i] ?? [])));
    this.#dealAll(isOracle);
  }

  #deliver(): void {
    const due = this.#flying.filter(({ atMs }) => atMs <= this.nowMs);
    this.#flying.splice(0, Infinity, ...this.#flying.filter(({ atMs }) => atMs > this.nowMs));
    for (const { to, frame } of due) {
      const rank = this.#alive().find(({ address }) => address === to);
      if (rank === undefined) continue;
      // Before the frame itself, while its question is open.
      if (this.#chance(this.#options.faults.nonsense)) {
        this.fired.nonsense += 1;
        rank.exchange.receive(this.#nonsense(frame), this.nowMs);
      }
      rank.exchange.receive(frame, this.nowMs);
    }
  }

  #nonsense(frame: Frame): Frame {
    const garbage = frame.kind === "data" ? { bytes: frame.bytes.map((byte) => ~byte) } : {};
    const broken = { ...frame, ...garbage };
    const variants: readonly Frame[] = [
      { ...broken, offset: frame.offset + 1 },
      { ...broken, offset: frame.offset + 4 * this.#options.elements },
      { ...broken, content: { kind: "node", first: 1, end: this.#options.shardCount + 1 } },
      { ...broken, attempt: attempt - 1 },
      { ...broken, job: "other" },
      { ...broken, step: frame.step + 1000, kind: "data", bytes: new Uint8Array(4) },
    ];
    return variants[this.#random.below(variants.length)] ?? frame;
  }

  #work(rank: Rank): void {
    if (rank.follows && this.#options.isDeaf === true) return;
    if (this.nowMs < rank.pausedUntilMs) return;
    for (let next = rank.commands[0]; next !== undefined && next.atMs <= this.nowMs;) {
      rank.commands.shift();
      this.#obey(rank, next.command);
      next = rank.commands[0];
    }
    const due = rank.todo.filter(({ atMs }) => atMs <= this.nowMs);
    rank.todo = rank.todo.filter(({ atMs }) => atMs > this.nowMs);
    for (const { shard } of due) {
      const values = leaf(rank.step, shard, this.#options.elements);
      rank.exchange.round({ attempt, step: rank.step })?.add(shard, values);
    }
    if (this.nowMs % 10 === 0) rank.exchange.tick(this.nowMs);
    for (let budget = this.#random.below(6); budget > 0; budget -= 1) {
      const outbound = rank.exchange.next(this.nowMs);
      if (outbound === undefined) break;
      this.#send(outbound.to, outbound.frame);
    }
    for (const event of rank.exchange.events()) {
      if (event.kind !== "sum-finished") continue;
      this.#check(event.sum, { first: 0, end: this.#options.shardCount }, event.step, 0);
      if (event.step === this.committed) this.#reported.add(rank.workerId);
    }
  }

  #obey(rank: Rank, command: Command): void {
    const moment = { attempt, step: command.step };
    if (command.kind === "begin") {
      rank.exchange.end({ attempt, step: rank.step });
      rank.step = command.step;
      rank.computed.clear();
      rank.todo = [];
      const { elements, shardCount } = this.#options;
      rank.exchange.begin({ ...moment, elements, shardCount });
      return;
    }
    rank.exchange.round(moment)?.deal(command.members, command.followers);
    const mine = command.members.find(({ workerId }) => workerId === rank.workerId);
    let { nowMs } = this;
    for (const { first, end } of mine?.ranges ?? []) {
      for (let shard = first; shard < end; shard += 1) {
        if (rank.computed.has(shard)) continue;
        rank.computed.add(shard);
        nowMs += this.#random.below(this.#options.shardMs + 1);
        rank.todo.push({ shard, atMs: nowMs });
      }
    }
  }

  #send(to: string, live: Frame): void {
    // The link copies what it sends, as encodeFrame does.
    const frame = live.kind === "data" ? { ...live, bytes: live.bytes.slice() } : live;
    const { faults } = this.#options;
    if (frame.kind === "data") {
      this.sentBytes[frame.step] = (this.sentBytes[frame.step] ?? 0) + frame.bytes.length;
      const { content } = frame;
      const node = content.kind === "node" ? content : { first: 0, end: this.#options.shardCount };
      const values = new Float32Array(frame.bytes.slice().buffer);
      this.#check(values, node, frame.step, frame.offset);
    }
    if (this.#chance(faults.drop)) {
      this.fired.drop += 1;
      return;
    }
    this.#flying.push({ to, frame, atMs: this.nowMs + this.#random.below(10) });
    if (this.#chance(faults.duplicate)) {
      this.fired.duplicate += 1;
      this.#flying.push({ to, frame, atMs: this.nowMs + this.#random.below(100) });
    }
    if (this.#chance(faults.stale)) {
      this.fired.stale += 1;
      this.#flying.push({ to, frame, atMs: this.nowMs + 100 + this.#random.below(1000) });
    }
  }

  #check(values: Float32Array, node: Range, step: number, offset: number): void {
    const expected = reference(node, step, this.#options.elements);
    const part = expected.subarray(offset, offset + values.length);
    if (!sameBits(values, part)) {
      this.problems.push(`step ${step}: other bits in node ${node.first}-${node.end} at ${offset}`);
    }
  }

  #commitIfAllReported(): void {
    const awaited = this.#options.isDeaf === true ? this.#members() : this.#alive();
    if (!awaited.every(({ workerId }) => this.#reported.has(workerId))) return;
    this.committed += 1;
    if (this.committed < this.#options.steps) this.#beginStep();
  }
}

/** Fills what is released, and what is handed out, with rubbish: reading it shows. */
function poisoned(): Buffers {
  const released = new WeakSet<Float32Array>();
  return {
    allocate: (elements) => new Float32Array(elements).fill(-12345.678),
    release: (values) => {
      if (released.has(values)) throw new Error("a vector was released twice");
      released.add(values);
      values.fill(-98765.4321);
    },
  };
}

/** Values of very different sizes, so that another order of addition gives other bits. */
export function leaf(step: number, shard: number, elements: number): Float32Array {
  const random = new Random(step, shard, 5);
  return Float32Array.from({ length: elements }, () => {
    const kind = random.below(10);
    if (kind === 0) return -0;
    if (kind === 1) return (random.float() - 0.5) * 1e-40; // A subnormal.
    return (random.float() - 0.5) * 10 ** random.below(6);
  });
}

const known = new Map<string, Float32Array>();

/** The sum of the shards of a node: halves of the largest power of two below, left first. */
export function reference({ first, end }: Range, step: number, elements: number): Float32Array {
  const key = `${first} ${end} ${step} ${elements}`;
  const found = known.get(key);
  if (found !== undefined) return found;
  let sum = leaf(step, first, elements);
  if (end - first > 1) {
    let half = 1;
    while (half * 2 < end - first) half *= 2;
    const left = reference({ first, end: first + half }, step, elements);
    const right = reference({ first: first + half, end }, step, elements);
    sum = left.map((value, i) => Math.fround(value + (right[i] ?? NaN)));
  }
  known.set(key, sum);
  return sum;
}

export function sameBits(a: Float32Array, b: Float32Array): boolean {
  const left = new Uint32Array(a.buffer, a.byteOffset, a.length);
  const right = new Uint32Array(b.buffer, b.byteOffset, b.length);
  return left.length === right.length && left.every((bits, i) => bits === right[i]);
}
