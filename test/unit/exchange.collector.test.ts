import { describe, expect, test } from "vitest";
import { Collector, type Ask, type Want } from "../../src/exchange/collector.js";
import { bytesOf } from "../../src/exchange/content.js";
import { ContentServer, queuedRequestsMax } from "../../src/exchange/contentServer.js";
import { newCounters } from "../../src/exchange/counters.js";
import { Gathering } from "../../src/exchange/gathering.js";
import { segment, unitsOf, type Units } from "../../src/exchange/units.js";

const grid = { elements: 39, unitElements: 4 };
const all: Units = { first: 0, end: 10 };
const limits = { chunkUnits: 2, windowUnits: 4, retryMs: 100 };

function gathering(): Gathering {
  return new Gathering(grid, all, new Float32Array(grid.elements));
}

function want(into: Gathering, peer: string, units: Units, flow: Want["flow"] = "sum"): Want {
  return { content: { kind: "sum" }, units, peer, into, flow };
}

function asks(collector: Collector, nowMs: number): readonly Ask[] {
  const found: Ask[] = [];
  for (let ask = collector.next(nowMs); ask !== undefined; ask = collector.next(nowMs)) {
    found.push(ask);
  }
  return found;
}

function values({ first, end }: Units): Uint8Array {
  const length = Math.min(end * 4, 39) - first * 4;
  return bytesOf(Float32Array.from({ length }, (_, i) => 4 * first + i));
}

describe("the collector", () => {
  test("asks chunk by chunk within the window, and goes on as answers come", () => {
    const collector = new Collector(limits, newCounters());
    const into = gathering();
    collector.plan([want(into, "a", all)]);
    expect(asks(collector, 0).map(({ units }) => units)).toEqual([
      { first: 0, end: 2 },
      { first: 2, end: 4 },
    ]);
    expect(asks(collector, 0)).toEqual([]);
    expect(
      collector.take({ kind: "sum" }, { first: 2, end: 4 }, values({ first: 2, end: 4 }), 1),
    ).toBe(true);
    expect(asks(collector, 1).map(({ units }) => units)).toEqual([{ first: 4, end: 6 }]);
    expect([...into.view({ first: 2, end: 4 })]).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
  });

  test("shares the window between peers, so that a slow one cannot take all of it", () => {
    const collector = new Collector(limits, newCounters());
    const into = gathering();
    collector.plan([want(into, "a", { first: 0, end: 5 }), want(into, "b", { first: 5, end: 10 })]);
    expect(asks(collector, 0).map(({ peer }) => peer)).toEqual(["a", "b"]);
  });

  test("asks for nodes although the window for sums is full", () => {
    const collector = new Collector(limits, newCounters());
    const node: Want = {
      ...want(gathering(), "a", all, "node"),
      content: { kind: "node", first: 0, end: 2 },
    };
    collector.plan([want(gathering(), "a", all), node]);
    expect(asks(collector, 0).map(({ content }) => content.kind)).toEqual([
      "node",
      "node",
      "sum",
      "sum",
    ]);
  });

  test("asks again after the timeout, for what is missing only, and not while the peer talks", () => {
    const counters = newCounters();
    const collector = new Collector(limits, counters);
    collector.plan([want(gathering(), "a", all)]);
    asks(collector, 0);
    collector.tick(99);
    expect(asks(collector, 99)).toEqual([]);
    collector.take({ kind: "sum" }, { first: 0, end: 1 }, values({ first: 0, end: 1 }), 99);
    collector.tick(198);
    expect(asks(collector, 198)).toEqual([]);
    collector.tick(199);
    expect(asks(collector, 199).map(({ units }) => units)).toEqual([
      { first: 1, end: 2 },
      { first: 2, end: 4 },
    ]);
    expect(counters.requestsRepeated).toBe(2);
  });

  test("takes nothing twice and nothing unasked", () => {
    const counters = newCounters();
    const collector = new Collector(limits, counters);
    const into = gathering();
    collector.plan([want(into, "a", all)]);
    asks(collector, 0);
    const first = { first: 0, end: 2 };
    collector.take({ kind: "sum" }, first, values(first), 0);
    expect(collector.take({ kind: "sum" }, first, new Uint8Array(32), 0)).toBe(false);
    expect(collector.take({ kind: "sum" }, { first: 8, end: 10 }, new Uint8Array(28), 0)).toBe(
      false,
    );
    expect(collector.take({ kind: "state" }, { first: 2, end: 4 }, new Uint8Array(32), 0)).toBe(
      false,
    );
    expect(counters).toMatchObject({ duplicates: 1, unasked: 2, dataBytesTaken: 32 });
    expect([...into.view(first)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test("keeps through a new plan what it has, and questions to the same peer", () => {
    const collector = new Collector(limits, newCounters());
    const into = gathering();
    collector.plan([want(into, "a", all)]);
    asks(collector, 0);
    collector.take({ kind: "sum" }, { first: 0, end: 2 }, values({ first: 0, end: 2 }), 0);
    collector.plan([want(into, "a", { first: 0, end: 4 }), want(into, "b", { first: 4, end: 10 })]);
    expect(asks(collector, 0)).toMatchObject([{ peer: "b", units: { first: 4, end: 6 } }]);
    collector.plan([want(into, "b", all)]);
    expect(asks(collector, 0)).toMatchObject([{ peer: "b", units: { first: 2, end: 4 } }]);
    expect(collector.waitingFor).toEqual(["b"]);
  });
});

describe("the content server", () => {
  const sum = { kind: "sum" } as const;

  test("lets a request wait until all of it is there, and answers it once", () => {
    const into = gathering();
    const server = new ContentServer(() => into, limits, newCounters());
    server.request("a", sum, { first: 0, end: 2 }, 0);
    server.request("a", sum, { first: 0, end: 2 }, 0);
    into.hold({ first: 0, end: 1 });
    server.wake(sum);
    expect(server.next(0)).toBeUndefined();
    into.hold({ first: 1, end: 2 });
    server.wake(sum);
    expect(server.next(0)).toMatchObject({ peer: "a", units: { first: 0, end: 2 } });
    expect(server.next(0)).toBeUndefined();
  });

  test("takes a repeat at once for one that has met its answer, and later for a loss", () => {
    const whole = Gathering.whole(grid, new Float32Array(grid.elements));
    const server = new ContentServer(() => whole, limits, newCounters());
    const units = { first: 0, end: 2 };
    server.request("a", sum, units, 0);
    expect(server.next(10)).toBeDefined();
    server.request("a", sum, units, 35);
    expect(server.next(35)).toBeUndefined();
    server.request("b", sum, units, 35);
    expect(server.next(35)).toMatchObject({ peer: "b" });
    server.request("a", sum, units, 36);
    expect(server.next(36)).toMatchObject({ peer: "a" });
  });

  test("answers a large request in frames of its own size", () => {
    const whole = Gathering.whole(grid, new Float32Array(grid.elements));
    const server = new ContentServer(() => whole, limits, newCounters());
    server.request("a", sum, { first: 5, end: 10 }, 0);
    const sizes = [server.next(0), server.next(0), server.next(0), server.next(0)].map(
      (answer) => answer?.bytes.length,
    );
    expect(sizes).toEqual([32, 32, 12, undefined]);
  });

  test("forgets the peers that are gone, and refuses more than it can queue", () => {
    const counters = newCounters();
    const server = new ContentServer(() => undefined, limits, counters);
    for (let i = 0; i <= queuedRequestsMax; i += 1) server.request(`p${i}`, sum, all, 0);
    expect(counters.overflow).toBe(1);
    server.request("p1", sum, all, 0);
    expect(counters.overflow).toBe(1);
    server.keep((peer) => peer === "p1");
    for (let i = 0; i < queuedRequestsMax; i += 1) server.request("p1", sum, all, 0);
    server.request("new", sum, all, 0);
    expect(counters.overflow).toBe(1);
  });
});

describe("units", () => {
  test.each([1, 2, 3, 7, 10, 11])("segments of %i ranks cover the vector in order", (worldSize) => {
    const segments = Array.from({ length: worldSize }, (_, rank) => segment(grid, rank, worldSize));
    expect(segments[0]?.first).toBe(0);
    expect(segments.at(-1)?.end).toBe(10);
    segments.slice(1).forEach(({ first }, i) => expect(first).toBe(segments[i]?.end));
  });

  test.each([
    [0, 4, { first: 0, end: 1 }],
    [8, 31, { first: 2, end: 10 }],
    [36, 3, { first: 9, end: 10 }],
    [36, 4, undefined],
    [2, 4, undefined],
    [2, 2, undefined],
    [0, 6, undefined],
    [0, 0, undefined],
    [40, 4, undefined],
  ])("elements from %i, %i of them, are the units %j", (offset, length, expected) => {
    expect(unitsOf(grid, offset, length)).toEqual(expected);
  });
});
