import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../src/plan/random.js";
import { framed } from "../support/rawGrpc.js";
import * as http2 from "../support/rawHttp2.js";
import { bearer, openServer, samples } from "./badlySpokenTo.js";
import { Refusal, type Kind } from "./kind.js";
import { chance, mutate, number, pick, uint32, word } from "./mutate.js";

/** Frames are looked at for so long after the last of them; what is cut off gets no answer. */
const quietMs = 25;
/** Frames as a client writes them; read without HPACK: DATA comes only from an answer, a RST_STREAM or GOAWAY is a refusal. */
export const framesKind: Kind = {
  name: "http2-frames",
  stages: [
    { name: "connection", refusal: /^the connection was ended/ },
    { name: "stream", refusal: /^the stream was/ },
    { name: "call", refusal: /^no message came back/ },
  ],
  open: async () => {
    const bad = await openServer(false);
    return {
      feed: async (random) => {
        const { frames, ended } = await framesFor(bad.server.port, spoiltFrames(random), bad.check);
        const { data, headers, reset, goaway } = http2.frameTypes;
        const of = (type: number) => frames.filter((frame) => frame.type === type);
        if (ended || of(goaway).length > 0) throw new Refusal("the connection was ended");
        const refused = of(reset).some(({ payload }) => payload.readUInt32BE(0) !== 0);
        if (refused) throw new Refusal("the stream was reset");
        if (of(headers).length === 0) throw new Refusal("the stream was not answered");
        if (of(data).length === 0) throw new Refusal("no message came back");
      },
      close: bad.close,
    };
  },
};

interface Heard {
  readonly frames: readonly http2.Frame[];
  /** The server hung up by itself. */
  readonly ended: boolean;
}

async function framesFor(port: number, bytes: Buffer, check: () => Promise<void>): Promise<Heard> {
  const socket = connect(port, "127.0.0.1");
  const parts: Buffer[] = [];
  let heardMs = performance.now();
  socket.on("data", (part: Buffer) => {
    parts.push(part);
    heardMs = performance.now();
  });
  // The server may hang up while it is being written to.
  socket.on("error", () => undefined);
  let closed = false;
  socket.once("close", () => (closed = true));
  socket.write(bytes);
  await check();
  const isOver = (): boolean =>
    http2
      .framesIn(Buffer.concat(parts))
      .some(
        ({ type, flag }) =>
          type === http2.frameTypes.goaway ||
          (type === http2.frameTypes.headers && (flag & http2.flags.endStream) !== 0),
      );
  while (!isClosed() && !isOver() && performance.now() - heardMs < quietMs) await sleep(2);
  const ended = isClosed();
  // The server may keep it for 15 s where a call is half done: then it finds out that nobody is there.
  socket.destroy();
  return { frames: http2.framesIn(Buffer.concat(parts)), ended };

  function isClosed(): boolean {
    return closed;
  }
}

function spoiltFrames(random: Random): Buffer {
  const whole = wellMade(random);
  const frames = chance(random, 0.75) ? spoilt(random, whole) : whole;
  const bytes = Buffer.concat([http2.preface, ...frames]);
  return chance(random, 0.25) ? mutate(random, bytes) : bytes;
}

/** SETTINGS, and a call of a method with a right message. */
function wellMade(random: Random): Buffer[] {
  const { settings: type, headers, data, ping } = http2.frameTypes;
  const { none, endHeaders, endStream } = http2.flags;
  const { path, message } = pick(random, samples.slice(2, 6));
  const block = http2.headerBlock([...http2.callHeaders(path), ["authorization", bearer]]);
  return [
    http2.frame(type, none, Buffer.alloc(0), 0),
    http2.frame(headers, endHeaders, block),
    http2.frame(data, endStream, framed(message)),
    http2.frame(ping, none, Buffer.alloc(8), 0),
  ];
}

function spoilt(random: Random, frames: Buffer[]): Buffer[] {
  const at = random.below(frames.length + 1);
  const others = frames.filter((_, i) => i !== at);
  const insert = (...more: Buffer[]): Buffer[] => [
    ...frames.slice(0, at),
    ...more,
    ...frames.slice(at),
  ];
  const stream = pick(random, [0, 1, 1, 2, 3, 0x7fffffff]);
  const types = http2.frameTypes;
  switch (random.below(10)) {
    case 0:
      return others;
    case 1:
      return insert(strangeFrame(random, stream));
    case 2: {
      const flood = pick(random, [
        types.ping,
        types.settings,
        types.reset,
        types.priority,
        types.window,
      ]);
      const size =
        { [types.ping]: 8, [types.reset]: 4, [types.priority]: 5, [types.window]: 4 }[flood] ?? 0;
      const own = flood === types.ping || flood === types.settings ? 0 : 1;
      const one = http2.frame(flood, 0, Buffer.alloc(size, chance(random, 0.5) ? 1 : 0), own);
      return insert(...Array.from({ length: 1 + random.below(3000) }, () => one));
    }
    case 3: {
      // Streams opened and taken back at once.
      const block = http2.headerBlock(http2.callHeaders("/bitfleet.v1.Training/WatchJob"));
      const one = (i: number): Buffer[] => [
        http2.frame(types.headers, http2.flags.endHeaders, block, 2 * i + 3),
        http2.frame(types.reset, 0, Buffer.from([0, 0, 0, 8]), 2 * i + 3),
      ];
      return [...frames, ...Array.from({ length: random.below(400) }, (_, i) => one(i)).flat()];
    }
    case 4: {
      const block = http2.headerBlock([["x-a", "y".repeat(100)]]);
      const more = Array.from({ length: random.below(400) }, () =>
        http2.frame(types.continuation, 0, block),
      );
      return [
        ...frames.slice(0, 1),
        http2.frame(types.headers, 0, block),
        ...more,
        ...frames.slice(1),
      ];
    }
    case 5: {
      const fields = [
        ...http2.callHeaders(pick(random, ["/", "", "x", "/a/b"])),
        [word(random), "x"] as const,
      ];
      const block = chance(random, 0.5)
        ? mutate(random, http2.headerBlock(fields))
        : http2.headerBlock(fields);
      return [
        ...frames.slice(0, 1),
        http2.frame(types.headers, pick(random, [4, 5, 0x2c]), block),
        ...frames.slice(2),
      ];
    }
    case 6: {
      const entry = Buffer.alloc(6);
      entry.writeUInt16BE(random.below(10), 0);
      entry.writeUInt32BE(uint32(number(random)), 2);
      return insert(http2.frame(types.settings, 0, entry, 0));
    }
    case 7: {
      const message = framed(
        mutate(random, Buffer.from("0a0664696769747300", "hex")),
        0,
        uint32(number(random)) % 5_000_000,
      );
      return [...frames.slice(0, 2), http2.frame(types.data, 1, message), ...frames.slice(3)];
    }
    default:
      return frames.map((frame, i) => (i === at ? mutate(random, frame) : frame));
  }
}

function strangeFrame(random: Random, stream: number): Buffer {
  const payload = Buffer.alloc(pick(random, [0, 1, 4, 5, 8, 9, 16_384, 16_385]), random.below(256));
  return http2.frame(random.below(16), random.below(256), payload, stream);
}
