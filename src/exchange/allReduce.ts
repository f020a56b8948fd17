import { assert } from "../job/problem.js";
import { isNode, nodes, root, type Node, type Range } from "../plan/tree.js";
import type { Buffers } from "./bufferPool.js";
import { Collector, type Want } from "./collector.js";
import {
  contentKey,
  nodeContentKey,
  type Content,
  type DataFrame,
  type Frame,
  type Outbound,
} from "./content.js";
import { ContentServer } from "./contentServer.js";
import type { Counters } from "./counters.js";
import { Gathering } from "./gathering.js";
import { LeafFold } from "./leafFold.js";
import {
  answerFrame,
  askFrame,
  type Channel,
  type Correspondent,
  type Subject,
} from "./channel.js";
import { SegmentSum } from "./segmentSum.js";
import { segment, unitCount, unitsOf, type Grid, type Units } from "./units.js";

/** A rank of a deal; the ranks are the members in order. */
export interface Member {
  readonly workerId: string;
  /** Where it listens for frames. */
  readonly address: string;
  /** Shards that it was or is dealt. A survivor keeps its ranges as they were, and may get more. */
  readonly ranges: readonly Range[];
  /** Whether it has reported the finished sum. Then nobody need compute what the dead have lost. */
  readonly finished?: boolean;
}

export interface AllReduceOptions {
  readonly job: string;
  readonly attempt: number;
  readonly step: number;
  /** This rank's worker id. */
  readonly self: string;
  readonly grid: Grid;
  readonly shardCount: number;
  readonly channel: Channel;
  readonly buffers: Buffers;
}

/**
 * The all-reduce of one step, seen by one rank. Every rank owns a segment of the vector: it
 * collects that segment of all nodes of the summation tree that were dealt, adds them in tree
 * order, and serves the result to the others. Does no I/O: the shell passes in what arrives, and
 * pulls what is to be sent, so that nothing is made before it can leave.
 */
export class AllReduce implements Correspondent {
  readonly attempt: number;
  readonly step: number;
  readonly #options: AllReduceOptions;
  readonly #counters: Counters;
  readonly #fold: LeafFold;
  #collector: Collector;
  #server: ContentServer;
  /** By content key: the nodes made here, and my segment of the others'. */
  readonly #parts = new Map<string, Gathering>();
  readonly #own = new Set<string>();
  readonly #allocated = new Set<Float32Array>();
  #sum: Gathering | undefined;
  #segmentSum: SegmentSum | undefined;
  #members: readonly Member[] = [];
  /** Addresses of the last deal's members and followers. */
  #served: ReadonlySet<string> = new Set();
  readonly #rootKey: string;
  #trial = 0;

  constructor(options: AllReduceOptions) {
    this.attempt = options.attempt;
    this.step = options.step;
    this.#options = options;
    this.#counters = options.channel.counters;
    this.#rootKey = nodeContentKey(root(options.shardCount));
    this.#fold = new LeafFold(options.shardCount, options.buffers);
    this.#collector = this.#newCollector();
    this.#server = this.#newServer();
  }

  /**
   * The first deal of the step, or a regroup of it. What has been made and collected is kept. A
   * rank that is not among the members only follows: it collects the finished sum. `followers`:
   * addresses of those, which are served as the members are.
   *
   * A higher `trial` says that something in the sum was wrong: the nodes made here stay, and all
   * that came from others goes, with the sum. Frames of another trial are not heard.
   */
  deal(members: readonly Member[], followers: readonly string[] = [], trial = 0): void {
    const { self, grid } = this.#options;
    if (trial > this.#trial) this.#startOver(trial);
    this.#members = members;
    const served = new Set([...members.map(({ address }) => address), ...followers]);
    // Who asks before the deal that names it has come here is not gone.
    const before = this.#served;
    this.#server.keep((peer) => served.has(peer) || !before.has(peer));
    this.#served = served;
    for (const range of members.find(({ workerId }) => workerId === self)?.ranges ?? []) {
      for (const node of this.#nodesOf(range)) {
        this.#own.add(nodeContentKey(node));
        this.#fold.make(node);
      }
    }
    // A rank that was dealt the root has the sum when it has made that.
    if (this.finished !== undefined || this.#own.has(this.#rootKey)) {
      this.#collector.plan([]);
      return;
    }
    const holders = members.filter(({ finished }) => finished === true);
    const owners = holders.length > 0 ? holders : members;
    const wants: Want[] = [];
    owners.forEach(({ workerId, address }, rank) => {
      const units = segment(grid, rank, owners.length);
      if (units.first === units.end) return;
      if (workerId === self) wants.push(...this.#beOwner(units, holders.length > 0));
      else wants.push(this.#wantOfOwner(units, address));
    });
    this.#collector.plan(wants);
  }

  /** Takes over the vector of a finished shard of this rank (see LeafFold). */
  add(shard: number, values: Float32Array): void {
    const { grid } = this.#options;
    assert(values.length === grid.elements, `${values.length} of ${grid.elements} elements`);
    const made = this.#fold.add(shard, values);
    if (made === undefined) return;
    const all = { first: 0, end: unitCount(grid) };
    const whole = Gathering.whole(grid, made.values);
    this.#parts.set(nodeContentKey(made.node), whole);
    this.#server.wake({ kind: "node", ...made.node });
    if (nodeContentKey(made.node) === this.#rootKey) {
      this.#sum = whole;
      this.#server.wake({ kind: "sum" });
    } else {
      this.#segmentSum?.came(all);
    }
  }

  receive(frame: Frame, nowMs: number): void {
    const units = unitsOf(this.#options.grid, frame.offset, frame.length);
    if (units === undefined || !this.#isContent(frame.content)) this.#counters.bad += 1;
    else if (frame.trial !== this.#trial) this.#counters.stale += 1;
    else if (frame.kind === "data") this.#takeData(frame, units, nowMs);
    else this.#server.request(frame.from, frame.content, units, nowMs);
  }

  tick(nowMs: number): void {
    this.#collector.tick(nowMs);
  }

  repeatAll(nowMs: number): void {
    this.#collector.repeatAll(nowMs);
  }

  /** The next frame to send, or undefined until something arrives or time passes. */
  next(nowMs: number): Outbound | undefined {
    const { channel } = this.#options;
    const ask = this.#collector.next(nowMs);
    if (ask !== undefined) return askFrame(this.#subject(), channel, ask);
    for (;;) {
      // Chunks are added between two sends, so that neither waits long for the other.
      const added = this.#segmentSum?.next(channel.limits.chunkUnits);
      if (added !== undefined) this.#server.wake({ kind: "sum" });
      const answer = this.#server.next(nowMs);
      if (answer !== undefined) return answerFrame(this.#subject(), channel, answer);
      if (added === undefined) return undefined;
    }
  }

  /** The sum of all shards, once all of it is here; belongs to this object until `close`. */
  get finished(): Float32Array | undefined {
    return this.#sum?.complete === true ? this.#sum.values : undefined;
  }

  /** The trial that `finished` is of. */
  get trial(): number {
    return this.#trial;
  }

  /** Ids of the workers that have been asked for something that is not here yet. */
  get waitingFor(): readonly string[] {
    const addresses = new Set(this.#collector.waitingFor);
    return this.#members.filter(({ address }) => addresses.has(address)).map((m) => m.workerId);
  }

  /** Ends serving and releases every vector. */
  close(): void {
    this.#fold.close();
    for (const values of this.#allocated) this.#options.buffers.release(values);
    this.#allocated.clear();
    this.#parts.clear();
    this.#sum = undefined;
    this.#segmentSum = undefined;
  }

  #subject(): Subject {
    return { trial: this.#trial, ...this.#options };
  }

  #startOver(trial: number): void {
    this.#trial = trial;
    // What is allocated here is what others' bits were written to; nodes made here are the fold's.
    for (const [key, part] of this.#parts) {
      if (this.#allocated.has(part.values)) this.#parts.delete(key);
    }
    for (const values of this.#allocated) this.#options.buffers.release(values);
    this.#allocated.clear();
    this.#sum = this.#parts.get(this.#rootKey);
    this.#segmentSum = undefined;
    this.#collector = this.#newCollector();
    this.#server = this.#newServer();
  }

  #newCollector(): Collector {
    return new Collector(this.#options.channel.limits, this.#counters);
  }

  #newServer(): ContentServer {
    const { limits } = this.#options.channel;
    return new ContentServer((content) => this.#source(content), limits, this.#counters);
  }

  #beOwner(mine: Units, someoneFinished: boolean): readonly Want[] {
    this.#segmentSum = undefined;
    if (someoneFinished) return [];
    const cover = this.#cover();
    this.#dropForeignParts(new Set(cover.map(({ node }) => nodeContentKey(node))));
    const sum = this.#sumSoFar();
    const wants: Want[] = [];
    for (const { node, address } of cover) {
      if (this.#own.has(nodeContentKey(node))) continue;
      const into = this.#foreignPart(node, mine, sum);
      const content: Content = { kind: "node", ...node };
      wants.push({ content, units: mine, peer: address, into, flow: "node" });
    }
    this.#segmentSum = new SegmentSum(
      cover.map(({ node }) => node),
      this.#options.shardCount,
      mine,
      this.#parts,
      sum,
    );
    return wants;
  }

  #wantOfOwner(units: Units, peer: string): Want {
    return { content: { kind: "sum" }, units, peer, into: this.#sumSoFar(), flow: "sum" };
  }

  /** My segment of another rank's node, with what has been collected of it before. */
  #foreignPart(node: Node, mine: Units, sum: Gathering): Gathering {
    const key = nodeContentKey(node);
    const before = this.#parts.get(key);
    const isSame = before?.units.first === mine.first && before.units.end === mine.end;
    const part = before !== undefined && isSame ? before : this.#gathering(mine);
    if (before !== undefined && before !== part) {
      part.copyFrom(before);
      this.#release(before);
    }
    for (let unit = mine.first; unit < mine.end; unit += 1) {
      if (sum.isHeld(unit)) part.skip(unit);
    }
    this.#parts.set(key, part);
    return part;
  }

  #dropForeignParts(cover: ReadonlySet<string>): void {
    for (const [key, part] of this.#parts) {
      if (cover.has(key) || this.#own.has(key)) continue;
      this.#parts.delete(key);
      this.#release(part);
    }
  }

  #release({ values }: Gathering): void {
    if (this.#allocated.delete(values)) this.#options.buffers.release(values);
  }

  #cover(): readonly { readonly node: Node; readonly address: string }[] {
    const cover = this.#members
      .flatMap(({ ranges, address }) =>
        ranges.flatMap((range) => this.#nodesOf(range).map((node) => ({ node, address }))),
      )
      .toSorted((a, b) => a.node.first - b.node.first);
    let end = 0;
    for (const { node } of cover) {
      assert(node.first === end, `a deal has shard ${node.first} after shard ${end - 1}`);
      end = node.end;
    }
    assert(end === this.#options.shardCount, `a deal ends at shard ${end}`);
    return cover;
  }

  #nodesOf({ first, end }: Range): readonly Node[] {
    return nodes(first, end, this.#options.shardCount);
  }

  #takeData(frame: DataFrame, units: Units, nowMs: number): void {
    if (!this.#collector.take(frame.content, units, frame.bytes, nowMs)) return;
    if (frame.content.kind === "node") this.#segmentSum?.came(units);
    // Whoever asks this rank, as an owner to be or as a joiner, is served what it has.
    else this.#server.wake({ kind: "sum" });
  }

  #source(content: Content): Gathering | undefined {
    if (content.kind === "sum") return this.#sum;
    const key = contentKey(content);
    return this.#own.has(key) ? this.#parts.get(key) : undefined;
  }

  #isContent(content: Content): boolean {
    return (
      content.kind === "sum" ||
      (content.kind === "node" && isNode(content, this.#options.shardCount))
    );
  }

  #sumSoFar(): Gathering {
    const all = { first: 0, end: unitCount(this.#options.grid) };
    this.#sum ??= this.#gathering(all);
    return this.#sum;
  }

  #gathering(units: Units): Gathering {
    const { grid, buffers } = this.#options;
    const last = Math.min(units.end * grid.unitElements, grid.elements);
    const values = buffers.allocate(last - units.first * grid.unitElements);
    this.#allocated.add(values);
    return new Gathering(grid, units, values);
  }
}
