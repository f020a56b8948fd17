import { hrtime } from "node:process";
import { BufferPool } from "../../src/exchange/bufferPool.js";
import { ExchangePump } from "../../src/link/exchangePump.js";
import { connectFrames } from "../../src/link/nats.js";

/**
 * One rank of the exchange benchmark, a process of its own. Its arguments: url, rank, ranks,
 * elements. It says `ready`, begins a round whenever told to, and says when it has the sum.
 */
const [url = "", rankText = "", ranksText = "", elementsText = ""] = process.argv.slice(2);
const rank = Number(rankText);
const ranks = Number(ranksText);
const elements = Number(elementsText);
const windowBytes = process.env["WINDOW_BYTES"];

const buffers = new BufferPool((length) => new Float32Array(new SharedArrayBuffer(4 * length)));
const address = (of: number): string => `bench-${of}`;
const members = Array.from({ length: ranks }, (_, of) => ({
  workerId: `w${of}`,
  address: address(of),
  ranges: [{ first: of, end: of + 1 }],
}));

let leaf = buffers.allocate(elements).fill(rank + 1);
let sum: Float32Array | undefined;
let cpuBefore = process.cpuUsage();
let step = 0;

function say(message: string): void {
  process.send?.(message);
}

function checkSum(): void {
  const expected = (ranks * (ranks + 1)) / 2;
  for (const value of sum ?? []) if (value !== expected) throw new Error(`a sum of ${value}`);
}

const pump = await ExchangePump.start({
  job: "bench",
  workerId: `w${rank}`,
  address: address(rank),
  buffers,
  connect: (handlers) => connectFrames({ url, address: address(rank), ...handlers }),
  onEvent: (event) => {
    if (event.kind !== "sum-finished") return;
    const { user, system } = process.cpuUsage(cpuBefore);
    say(`done ${hrtime.bigint()} ${user + system}`);
    ({ sum } = event);
  },
  onStatus: (status) => say(`status ${JSON.stringify(status)}`),
  onFailure: (error) => {
    throw error;
  },
  ...(windowBytes === undefined ? {} : { windowBytes: Number(windowBytes) }),
});

process.on("message", (message) => {
  const moment = { attempt: 1, step };
  if (message === "prepare") {
    pump.begin({ ...moment, elements, shardCount: ranks });
    pump.deal(moment, members);
    say("ready");
  } else if (message === "go") {
    cpuBefore = process.cpuUsage();
    pump.add(moment, rank, leaf);
  } else if (message === "end") {
    checkSum();
    pump.end(moment);
    step += 1;
    leaf = buffers.allocate(elements).fill(rank + 1);
    say(`ended ${JSON.stringify(pump.counters)}`);
  } else {
    void pump.close().then(() => process.disconnect());
  }
});
say("started");
