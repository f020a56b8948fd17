import { describe, expect, test } from "vitest";
import type { Member } from "../../src/exchange/allReduce.js";
import { BufferPool } from "../../src/exchange/bufferPool.js";
import type { Frame, Outbound } from "../../src/exchange/content.js";
import { Exchange, type ExchangeEvent } from "../../src/exchange/exchange.js";

const elements = 20;
const first = { attempt: 1, step: 0 };

function exchange(self: string): Exchange {
  return new Exchange({
    job: "digits",
    self,
    address: `at-${self}`,
    buffers: new BufferPool(),
    chunkElements: 8,
    unitElements: 4,
    retryMs: 100,
  });
}

function member(workerId: string, ...ranges: Member["ranges"]): Member {
  return { workerId, address: `at-${workerId}`, ranges };
}

function leaf(value: number): Float32Array {
  return new Float32Array(elements).fill(value);
}

/** Carries frames between the exchanges until nobody has anything to say. */
function settle(
  exchanges: readonly Exchange[],
  names: readonly string[],
  nowMs = 0,
  isLost: (outbound: Outbound) => boolean = () => false,
): void {
  for (let moved = true; moved;) {
    moved = false;
    for (const from of exchanges) {
      for (let out = from.next(nowMs); out !== undefined; out = from.next(nowMs)) {
        if (!isLost(out)) deliver(out, exchanges, names, nowMs);
        moved = true;
      }
    }
  }
}

function deliver(
  { to, frame }: Outbound,
  exchanges: readonly Exchange[],
  names: readonly string[],
  nowMs: number,
): void {
  const copy: Frame = frame.kind === "data" ? { ...frame, bytes: frame.bytes.slice() } : frame;
  exchanges[names.findIndex((name) => to === `at-${name}`)]?.receive(copy, nowMs);
}

function sums(events: readonly ExchangeEvent[]): readonly (readonly number[])[] {
  return events.flatMap((event) => (event.kind === "sum-finished" ? [[...event.sum]] : []));
}

describe("the exchange of a process", () => {
  test("of one rank alone has the sum when it has its shards, and sends nothing", () => {
    const alone = exchange("a");
    const round = alone.begin({ ...first, elements, shardCount: 2 });
    round.deal([member("a", { first: 0, end: 2 })]);
    round.add(0, leaf(1));
    expect(alone.events()).toEqual([]);
    round.add(1, leaf(2));
    expect(alone.next(0)).toBeUndefined();
    expect(sums(alone.events())).toEqual([Array.from({ length: elements }, () => 3)]);
    expect(alone.events()).toEqual([]);
  });

  test("answers what a faster peer asked before the step began here", () => {
    const [a, b] = [exchange("a"), exchange("b")];
    const members = [member("a", { first: 0, end: 1 }), member("b", { first: 1, end: 2 })];
    a.begin({ ...first, elements, shardCount: 2 }).deal(members);
    a.round(first)?.add(0, leaf(1));
    settle([a, b], ["a", "b"]);
    expect(a.round(first)?.waitingFor).toEqual(["b"]);
    b.begin({ ...first, elements, shardCount: 2 }).deal(members);
    b.round(first)?.add(1, leaf(2));
    settle([a, b], ["a", "b"]);
    expect(sums(a.events())).toEqual([[...leaf(3)]]);
    expect(sums(b.events())).toEqual([[...leaf(3)]]);
    expect(a.counters.requestsRepeated).toBe(0);
  });

  test("forgets early questions after a while, and takes those of ended steps for stale", () => {
    const [a, b] = [exchange("a"), exchange("b")];
    const members = [member("a", { first: 0, end: 1 }), member("b", { first: 1, end: 2 })];
    a.begin({ ...first, elements, shardCount: 2 }).deal(members);
    settle([a, b], ["a", "b"], 0);
    b.tick(5000);
    b.begin({ ...first, elements, shardCount: 2 }).deal(members);
    b.round(first)?.add(1, leaf(2));
    settle([b], ["b"]);
    expect(b.counters.dataFramesSent).toBe(0);
    b.end(first);
    a.tick(6000);
    settle([a, b], ["a", "b"], 6000);
    expect(b.counters.stale).toBeGreaterThan(0);
  });

  test("lets a rank without shards that is no member follow the finished sum", () => {
    const names = ["a", "b", "joiner"];
    const all = names.map(exchange);
    const members = [member("a", { first: 0, end: 1 }), member("b", { first: 1, end: 2 })];
    for (const one of all) one.begin({ ...first, elements, shardCount: 2 }).deal(members);
    all[0]?.round(first)?.add(0, leaf(1));
    all[1]?.round(first)?.add(1, leaf(2));
    settle(all, names);
    for (const one of all) expect(sums(one.events())).toEqual([[...leaf(3)]]);
  });

  test("keeps what a follower asks before the deal that names it comes here", () => {
    const names = ["a", "b", "joiner"];
    const all = names.map(exchange);
    const members = [member("a", { first: 0, end: 1 }), member("b", { first: 1, end: 2 })];
    for (const one of all) one.begin({ ...first, elements, shardCount: 2 }).deal(members);
    settle(all, names);
    for (const followers of [[], ["at-joiner"]]) {
      for (const one of all.slice(0, 2)) one.round(first)?.deal(members, followers);
    }
    all[0]?.round(first)?.add(0, leaf(1));
    all[1]?.round(first)?.add(1, leaf(2));
    // No time has passed, so nothing was asked twice.
    settle(all, names);
    expect(sums(all[2]?.events() ?? [])).toEqual([[...leaf(3)]]);
  });

  test("needs nothing computed again when one survivor has the whole sum", () => {
    const names = ["a", "b"];
    const [a, b] = [exchange("a"), exchange("b")];
    const members = [
      member("a", { first: 0, end: 1 }),
      member("b", { first: 1, end: 2 }),
      member("c", { first: 2, end: 3 }),
    ];
    const c = exchange("c");
    const three = [a, b, c];
    for (const one of three) one.begin({ ...first, elements, shardCount: 3 }).deal(members);
    three.forEach((one, i) => one.round(first)?.add(i, leaf(i + 1)));
    // No finished sum gets to b; c dies when a has all of it.
    settle(three, ["a", "b", "c"], 0, ({ to, frame }) => {
      return to === "at-b" && frame.kind === "data" && frame.content.kind === "sum";
    });
    expect(a.round(first)?.finished).toBeDefined();
    expect(b.round(first)?.finished).toBeUndefined();
    const survivors = [
      { ...member("a", { first: 0, end: 1 }), finished: true },
      member("b", { first: 1, end: 2 }),
    ];
    for (const one of [a, b]) one.round(first)?.deal(survivors);
    b.tick(100);
    settle([a, b], names, 100);
    expect(sums(b.events())).toEqual([[...leaf(6)]]);
  });

  test("asks after a regroup only for what it has not collected", () => {
    // Five units; of three ranks a owns unit 0, b 1 and 2, c 3 and 4; of two, a 0 and 1, b 2 to 4.
    const names = ["a", "b", "c"];
    const [a, b, c] = [exchange("a"), exchange("b"), exchange("c")];
    const three = [a, b, c];
    const ranges = [0, 1, 2].map((shard) => ({ first: shard, end: shard + 1 }));
    const [one = { first: 0, end: 0 }, two = one, last = one] = ranges;
    const before = [member("a", one), member("b", two), member("c", last)];
    for (const rank of three) rank.begin({ ...first, elements, shardCount: 3 }).deal(before);
    three.forEach((rank, i) => rank.round(first)?.add(i, leaf(i + 1)));
    // Nothing of c's own segment gets out: a and b have all nodes of theirs, and units 0 to 2.
    settle(three, names, 0, ({ frame }) => {
      return frame.from === "at-c" && frame.content.kind === "sum" && frame.kind === "data";
    });
    const taken = [a, b].map(({ counters }) => counters.dataBytesTaken);
    expect(taken).toEqual([2 * 16 + 2 * 16, 2 * 2 * 16 + 16]);
    const after = [member("a", one, last), member("b", two)];
    for (const rank of [a, b]) rank.round(first)?.deal(after);
    a.round(first)?.add(2, leaf(3));
    settle([a, b], names);
    expect(sums(a.events())).toEqual([[...leaf(6)]]);
    expect(sums(b.events())).toEqual([[...leaf(6)]]);
    // b lacked a's two nodes in units 3 and 4; a lacked their sum. What a asks c for was lost.
    const more = [a, b].map(({ counters }, i) => counters.dataBytesTaken - (taken[i] ?? 0));
    expect(more).toEqual([2 * 16, 2 * 2 * 16]);
  });

  test("keeps the nodes that it collected when its segment moves", () => {
    const names = ["a", "b", "c"];
    const three = names.map(exchange);
    const [a, b] = three;
    const before = [
      member("a", { first: 0, end: 1 }),
      member("b", { first: 1, end: 2 }),
      member("c", { first: 2, end: 3 }),
    ];
    for (const rank of three) rank.begin({ ...first, elements, shardCount: 3 }).deal(before);
    // c dies before it has a node: the sums cannot be made, but a and b have swapped theirs.
    a?.round(first)?.add(0, leaf(1));
    b?.round(first)?.add(1, leaf(2));
    settle(three, names);
    expect(b?.counters.dataBytesTaken).toBe(2 * 16);
    const after = [
      member("a", { first: 0, end: 1 }, { first: 2, end: 3 }),
      member("b", { first: 1, end: 2 }),
    ];
    for (const rank of [a, b]) rank?.round(first)?.deal(after);
    a?.round(first)?.add(2, leaf(3));
    settle(three.slice(0, 2), names);
    expect(sums(b?.events() ?? [])).toEqual([[...leaf(6)]]);
    // Of shard 0 it had unit 2 and lacked 3 and 4; of shard 2, all three; of the sum, 0 and 1.
    expect(b?.counters.dataBytesTaken).toBe(2 * 16 + (2 + 3 + 2) * 16);
  });

  test("sends nothing to those whom a regroup left out", () => {
    const [a, b] = [exchange("a"), exchange("b")];
    const both = [member("a", { first: 0, end: 1 }), member("b", { first: 1, end: 2 })];
    for (const rank of [a, b]) rank.begin({ ...first, elements, shardCount: 2 }).deal(both);
    settle([a, b], ["a", "b"]);
    a.round(first)?.deal([member("a", { first: 0, end: 1 }, { first: 1, end: 2 })]);
    a.round(first)?.add(0, leaf(1));
    a.round(first)?.add(1, leaf(2));
    settle([a], ["a"]);
    expect(a.counters.dataFramesSent).toBe(0);
    expect(sums(a.events())).toEqual([[...leaf(3)]]);
  });

  test("counts frames that name no node of the tree, and keeps none of them", () => {
    const a = exchange("a");
    a.begin({ ...first, elements, shardCount: 3 });
    const content = { kind: "node", first: 1, end: 3 } as const;
    const head = { job: "digits", ...first, trial: 0, from: "at-b", offset: 0, length: 4 };
    a.receive({ kind: "request", ...head, content }, 0);
    a.receive({ kind: "request", ...head, content: { kind: "node", first: 0, end: 4 } }, 0);
    expect(a.counters.bad).toBe(2);
    a.receive({ kind: "request", ...head, content: { kind: "node", first: 0, end: 2 } }, 0);
    expect(a.counters.bad).toBe(2);
  });

  test("refuses a deal that leaves a shard out or deals it twice", () => {
    const round = exchange("a").begin({ ...first, elements, shardCount: 3 });
    const a = member("a", { first: 0, end: 1 });
    expect(() => round.deal([a, member("b", { first: 2, end: 3 })])).toThrow(/shard 2/);
    const again = exchange("a").begin({ ...first, elements, shardCount: 3 });
    expect(() => again.deal([a, member("b", { first: 0, end: 3 })])).toThrow(/shard 0/);
    const short = exchange("a").begin({ ...first, elements, shardCount: 3 });
    expect(() => short.deal([a, member("b", { first: 1, end: 2 })])).toThrow(/ends at shard 2/);
  });

  test("hands a snapshot to a joiner, and goes on with another donor where the first left off", () => {
    const [a, b, joiner] = [exchange("a"), exchange("b"), exchange("joiner")];
    const state = Float32Array.from({ length: 2 * elements }, (_, i) => i / 3);
    joiner.collectState(first, state.length, ["at-a"]);
    settle([joiner, a], ["joiner", "a"]);
    a.offerState(first, state);
    for (let n = 0; n < 2; n += 1) {
      const out = a.next(0);
      if (out !== undefined) deliver(out, [joiner], ["joiner"], 0);
    }
    expect(joiner.counters.dataBytesTaken).toBe(64);
    b.offerState(first, state);
    joiner.collectState(first, state.length, ["at-b"]);
    settle([b, joiner], ["b", "joiner"]);
    expect(b.counters.dataBytesSent).toBe(4 * state.length - 64);
    const [event] = joiner.events();
    expect(event?.kind === "state-collected" && [...event.state]).toEqual([...state]);
    b.endOffer(first);
    joiner.endCollection(first);
    expect(joiner.events()).toEqual([]);
  });

  test("gives a joiner every fourth frame while rounds leave no pause", () => {
    const [a, b, joiner] = [exchange("a"), exchange("b"), exchange("joiner")];
    const many = 400;
    const members = [member("a", { first: 0, end: 1 }), member("b", { first: 1, end: 2 })];
    // Of each of two rounds b wants half a's leaf: 25 frames of two units.
    for (const moment of [first, { ...first, step: 1 }]) {
      for (const one of [a, b]) {
        one.begin({ ...moment, elements: many, shardCount: 2 }).deal(members);
      }
      a.round(moment)?.add(0, new Float32Array(many));
    }
    a.offerState(first, new Float32Array(2 * elements));
    joiner.collectState(first, 2 * elements, ["at-a"]);
    for (const one of [b, joiner]) {
      for (let out = one.next(0); out !== undefined; out = one.next(0)) {
        deliver(out, [a], ["a"], 0);
      }
    }
    const kinds: string[] = [];
    for (let out = a.next(0); out !== undefined; out = a.next(0)) {
      if (out.frame.kind === "data") kinds.push(out.frame.content.kind);
    }
    expect(kinds.length).toBe(2 * 25 + 5);
    const places = kinds.flatMap((kind, i) => (kind === "state" ? [i] : []));
    expect(places).toEqual([3, 7, 11, 15, 19]);
  });

  test("releases every vector once when the step ends", () => {
    const released: Float32Array[] = [];
    const allocated: Float32Array[] = [];
    const buffers = {
      allocate: (length: number): Float32Array => {
        const values = new Float32Array(length);
        allocated.push(values);
        return values;
      },
      release: (values: Float32Array): void => void released.push(values),
    };
    const options = { job: "digits", address: "at-a", chunkElements: 8, unitElements: 4 };
    const a = new Exchange({ ...options, self: "a", buffers });
    const round = a.begin({ ...first, elements, shardCount: 3 });
    round.deal([member("a", { first: 0, end: 1 }), member("b", { first: 1, end: 3 })]);
    const mine = buffers.allocate(elements);
    round.add(0, mine);
    round.deal([member("a", { first: 0, end: 1 }, { first: 1, end: 3 })]);
    round.add(1, buffers.allocate(elements));
    round.add(2, buffers.allocate(elements));
    while (a.next(0) !== undefined);
    expect(round.finished).toBeDefined();
    a.end(first);
    expect(new Set(released)).toEqual(new Set(allocated));
    expect(released).toHaveLength(allocated.length);
  });
});

describe("a new trial of a step's sum", () => {
  const two = [member("a", { first: 0, end: 1 }), member("b", { first: 1, end: 2 })];

  function inTrial(trial: number, right: number): readonly Exchange[] {
    const both = [exchange("a"), exchange("b")];
    const [a, b] = both;
    for (const one of both) one.begin({ ...first, elements, shardCount: 2 }).deal(two);
    a?.round(first)?.add(0, leaf(1));
    b?.round(first)?.add(1, leaf(right));
    settle(both, ["a", "b"]);
    expect(sums(a?.events() ?? [])).toEqual([new Array(elements).fill(1 + right)]);
    for (const one of both) one.round(first)?.deal(two, [], trial);
    return both;
  }

  test("adds the same nodes again and tells of the sum again", () => {
    const both = inTrial(2, 2);
    settle(both, ["a", "b"]);
    for (const one of both) {
      expect(one.events()).toMatchObject([{ kind: "sum-finished", trial: 2 }]);
      expect(one.round(first)?.finished).toEqual(leaf(3));
    }
  });

  test("keeps nothing of what a rank that is gone had made", () => {
    const [a] = inTrial(2, 99);
    if (a === undefined) throw new Error("no rank");
    a.round(first)?.deal([member("a", { first: 0, end: 1 }, { first: 1, end: 2 })], [], 3);
    expect(a.events()).toEqual([]);
    a.round(first)?.add(1, leaf(5));
    settle([a], ["a"]);
    expect(sums(a.events())).toEqual([new Array(elements).fill(6)]);
  });

  test("does not hear answers to what was asked in the trial before", () => {
    const [a, b] = [exchange("a"), exchange("b")];
    for (const one of [a, b]) one.begin({ ...first, elements, shardCount: 2 }).deal(two);
    a.round(first)?.add(0, leaf(1));
    b.round(first)?.add(1, leaf(99));
    const late: Outbound[] = [];
    settle([a, b], ["a", "b"], 0, (out) => {
      if (out.frame.kind === "data" && out.to === "at-a") late.push(out);
      return out.frame.kind === "data" && out.to === "at-a";
    });
    expect(late.length).toBeGreaterThan(0);
    for (const one of [a, b]) one.round(first)?.deal(two, [], 2);
    a.next(0);
    for (const out of late) deliver(out, [a], ["a"], 0);
    expect(a.counters.stale).toBe(late.length);
    expect(a.round(first)?.finished).toBeUndefined();
  });

  test("is what a rank that made the root itself has at once", () => {
    const a = exchange("a");
    a.begin({ ...first, elements, shardCount: 1 }).deal([member("a", { first: 0, end: 1 })]);
    a.round(first)?.add(0, leaf(4));
    expect(sums(a.events())).toHaveLength(1);
    a.round(first)?.deal([member("a", { first: 0, end: 1 })], [], 2);
    expect(a.events()).toMatchObject([{ trial: 2, sum: leaf(4) }]);
  });
});
