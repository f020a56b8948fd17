import { afterEach, describe, expect, test } from "vitest";
import type { Member } from "../../src/exchange/allReduce.js";
import { BufferPool } from "../../src/exchange/bufferPool.js";
import { bytesOf } from "../../src/exchange/content.js";
import type { ExchangeEvent } from "../../src/exchange/exchange.js";
import { ExchangePump } from "../../src/link/exchangePump.js";
import type { FrameLink, LinkStatus } from "../../src/link/frameLink.js";
import { sameBits } from "../simulation/exchangeWorld.js";
import { openMemory, openNats, until, type Transport } from "./frameTransports.js";

const moment = { attempt: 1, step: 0 };

const scales = Float64Array.from({ length: 32 }, (_, i) => 2 ** -(i + 20));

/** Values of many sizes and both signs, quickly. */
function leaf(shard: number, elements: number): Float32Array {
  const values = new Float32Array(elements);
  let state = 77 + shard;
  for (let i = 0; i < elements; i += 1) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    values[i] = state * (scales[(state >>> 8) & 31] ?? NaN);
  }
  return values;
}

/** The sum of shards `first` to `end`: halves of the largest power of two below, left first. */
function reference(first: number, end: number, elements: number): Float32Array {
  if (end - first === 1) return leaf(first, elements);
  const half = 2 ** Math.floor(Math.log2(end - first - 1));
  const sum = reference(first, first + half, elements);
  const right = reference(first + half, end, elements);
  for (let i = 0; i < elements; i += 1) sum[i] = (sum[i] ?? NaN) + (right[i] ?? NaN);
  return sum;
}

interface Ear {
  readonly link: FrameLink;
  readonly heard: string[];
  readonly statuses: LinkStatus[];
}

async function listen(transport: Transport, address: string): Promise<Ear> {
  const heard: string[] = [];
  const statuses: LinkStatus[] = [];
  const link = await transport.connect(address, {
    onFrame: (bytes) => heard.push(Buffer.from(bytes).toString("latin1")),
    onStatus: (status) => statuses.push(status),
  });
  return { link, heard, statuses };
}

interface Rank {
  readonly pump: ExchangePump;
  readonly events: ExchangeEvent[];
  readonly failures: unknown[];
}

async function startRanks(transport: Transport, count: number, retryMs = 300): Promise<Rank[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, rank) => {
      const events: ExchangeEvent[] = [];
      const failures: unknown[] = [];
      const pump = await ExchangePump.start({
        job: "contract",
        workerId: `w${rank}`,
        address: `x-${rank}`,
        buffers: new BufferPool(),
        connect: (handlers) => transport.connect(`x-${rank}`, handlers),
        onEvent: (event) => events.push(event),
        onStatus: () => undefined,
        onFailure: (error) => failures.push(error),
        retryMs,
      });
      return { pump, events, failures };
    }),
  );
}

function members(ranges: readonly Member["ranges"][]): readonly Member[] {
  return ranges.map((of, rank) => ({ workerId: `w${rank}`, address: `x-${rank}`, ranges: of }));
}

function begin(ranks: readonly Rank[], dealt: readonly Member[], elements: number): void {
  const shardCount = Math.max(...dealt.flatMap(({ ranges }) => ranges.map(({ end }) => end)));
  ranks.forEach(({ pump }) => pump.begin({ ...moment, elements, shardCount }));
  ranks.forEach(({ pump }) => pump.deal(moment, dealt));
}

function addShards({ pump }: Rank, ranges: Member["ranges"], elements: number): void {
  for (const { first, end } of ranges) {
    for (let shard = first; shard < end; shard += 1) {
      pump.add(moment, shard, leaf(shard, elements));
    }
  }
}

async function sumsOf(ranks: readonly Rank[], withinMs?: number): Promise<Float32Array[]> {
  const done = (): boolean =>
    ranks.every(({ events, failures }) => events.length > 0 || failures.length > 0);
  await until("every rank has the sum", done, withinMs);
  expect(ranks.flatMap(({ failures }) => failures)).toEqual([]);
  return ranks.flatMap(({ events }) =>
    events.flatMap((event) => (event.kind === "sum-finished" ? [event.sum] : [])),
  );
}

describe.each<readonly [string, (frameBytesMax?: number) => Promise<Transport>]>([
  ["in memory", openMemory],
  ["over a nats-server", openNats],
])("frames %s", (_, open) => {
  let transport: Transport | undefined;
  const opened = async (frameBytesMax?: number): Promise<Transport> =>
    (transport = await open(frameBytesMax));
  const pumps: ExchangePump[] = [];
  afterEach(async () => {
    for (const pump of pumps.splice(0)) await pump.close();
    await transport?.close();
    transport = undefined;
  });

  test("arrive whole, in order, and only where they were sent", async () => {
    const network = await opened();
    const [a, b, c] = [
      await listen(network, "a"),
      await listen(network, "b"),
      await listen(network, "c"),
    ];
    await Promise.all([b.link.flush(), c.link.flush()]);
    const sent = Array.from({ length: 50 }, (_, i) => `${i} `.repeat(1 + ((i * 997) % 20_000)));
    for (const text of sent) a.link.send("b", Buffer.from(text, "latin1"));
    await a.link.flush();
    await until("all frames", () => b.heard.length === sent.length);
    expect(b.heard).toEqual(sent);
    expect([a.heard, c.heard]).toEqual([[], []]);
    expect(a.link.roundTripAgeMs()).toBeLessThan(1000);
  });

  test("to nobody are lost without a word", async () => {
    const network = await opened();
    const a = await listen(network, "a");
    a.link.send("nobody", Buffer.from("hello"));
    await a.link.flush();
    a.link.send("a", Buffer.from("still here"));
    await until("a frame", () => a.heard.length === 1);
    expect(a.statuses).toEqual([]);
  });

  test("of the largest size arrive, and larger ones cost only themselves", async () => {
    const network = await opened(65_536);
    const a = await listen(network, "a");
    expect(a.link.frameBytesMax).toBe(65_536);
    a.link.send("a", Buffer.alloc(65_537));
    a.link.send("a", Buffer.alloc(65_536, "x"));
    await until("the frame", () => a.heard.length === 1);
    expect(a.heard).toEqual(["x".repeat(65_536)]);
    expect(a.statuses).toMatchObject([{ kind: "error" }]);
  });

  test("are dropped while the link is cut, and flow again when it is joined", async () => {
    const network = await opened();
    const [a, b] = [await listen(network, "a"), await listen(network, "b")];
    await b.link.flush();
    await network.cut();
    await until("both cut", () => !a.link.isConnected && !b.link.isConnected);
    a.link.send("b", Buffer.from("lost"));
    await a.link.flush();
    await network.join();
    await until("both joined", () => a.link.isConnected && b.link.isConnected);
    await b.link.flush();
    a.link.send("b", Buffer.from("found"));
    await until("a frame", () => b.heard.length > 0);
    expect(b.heard).toEqual(["found"]);
    const kinds = a.statuses.map(({ kind }) => kind).filter((kind) => kind !== "error");
    expect(kinds).toEqual(["disconnected", "reconnected"]);
  });

  test.each([65_536, 1_048_576])(
    "of at most %i bytes carry an all-reduce of three ranks, bit for bit",
    async (frameBytesMax) => {
      const elements = 400_001;
      const network = await opened(frameBytesMax);
      const ranks = await startRanks(network, 3);
      pumps.push(...ranks.map(({ pump }) => pump));
      const ranges = [[{ first: 0, end: 3 }], [{ first: 3, end: 6 }], [{ first: 6, end: 7 }]];
      begin(ranks, members(ranges), elements);
      ranks.forEach((rank, i) => addShards(rank, ranges[i] ?? [], elements));
      const expected = reference(0, 7, elements);
      for (const sum of await sumsOf(ranks)) expect(sameBits(sum, expected)).toBe(true);
    },
  );

  test("let an all-reduce finish that was cut in the middle, bit for bit", async () => {
    const elements = 3_000_000;
    const network = await opened(65_536);
    const ranks = await startRanks(network, 2);
    pumps.push(...ranks.map(({ pump }) => pump));
    const ranges = [[{ first: 0, end: 1 }], [{ first: 1, end: 2 }]];
    begin(ranks, members(ranges), elements);
    ranks.forEach((rank, i) => addShards(rank, ranges[i] ?? [], elements));
    const taken = (): number => ranks[0]?.pump.counters.dataBytesTaken ?? 0;
    await until("a part has come", () => taken() > 500_000);
    await network.cut();
    expect(ranks.every(({ events }) => events.length === 0)).toBe(true);
    await network.join();
    const expected = reference(0, 2, elements);
    for (const sum of await sumsOf(ranks)) expect(sameBits(sum, expected)).toBe(true);
  });

  test("let the survivors of an all-reduce finish it without the dead", async () => {
    const elements = 300_000;
    const network = await opened(65_536);
    const ranks = await startRanks(network, 3);
    pumps.push(...ranks.map(({ pump }) => pump));
    const dealt = [[{ first: 0, end: 2 }], [{ first: 2, end: 4 }], [{ first: 4, end: 6 }]];
    begin(ranks, members(dealt), elements);
    const [a, b, dead] = ranks;
    if (a === undefined || b === undefined || dead === undefined) throw new Error("three ranks");
    [a, b].forEach((rank, i) => addShards(rank, dealt[i] ?? [], elements));
    await until("a and b wait for c alone", () =>
      [a, b].every(({ pump }) => pump.waitingFor(moment).includes("w2")),
    );
    await dead.pump.close();
    const taken = [[{ first: 4, end: 5 }], [{ first: 5, end: 6 }]];
    const regrouped = members(taken.map((more, i) => [...(dealt[i] ?? []), ...more]));
    [a, b].forEach(({ pump }) => pump.deal(moment, regrouped));
    [a, b].forEach((rank, i) => addShards(rank, taken[i] ?? [], elements));
    const expected = reference(0, 6, elements);
    for (const sum of await sumsOf([a, b])) expect(sameBits(sum, expected)).toBe(true);
  });

  test("carry a snapshot to a joiner", async () => {
    const network = await opened();
    const ranks = await startRanks(network, 2);
    pumps.push(...ranks.map(({ pump }) => pump));
    const state = leaf(9, 500_000);
    ranks[1]?.pump.collectState(moment, state.length, ["x-0"]);
    ranks[0]?.pump.offerState(moment, state);
    await until("the state", () => ranks[1]?.events.length === 1);
    const [event] = ranks[1]?.events ?? [];
    expect(event?.kind === "state-collected" && sameBits(event.state, state)).toBe(true);
  });
});

describe("a gradient of 94 MB", () => {
  test("is added up by two ranks under a server's default limits", async () => {
    const elements = 23_500_352;
    const network = await openNats();
    const ranks = await startRanks(network, 2, 1000);
    try {
      begin(ranks, members([[{ first: 0, end: 1 }], [{ first: 1, end: 2 }]]), elements);
      ranks.forEach(({ pump }, shard) => pump.add(moment, shard, leaf(shard, elements)));
      const sums = await sumsOf(ranks, 30_000);
      const expected = reference(0, 2, elements);
      for (const sum of sums) expect(Buffer.compare(bytesOf(sum), bytesOf(expected))).toBe(0);
      for (const { pump } of ranks) expect(pump.counters).toMatchObject({ bad: 0, unasked: 0 });
    } finally {
      for (const { pump } of ranks) await pump.close();
      await network.close();
    }
  }, 60_000);
});
