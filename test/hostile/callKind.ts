import type { Random } from "../../src/plan/random.js";
import { framed, RawGrpc } from "../support/rawGrpc.js";
import { bearer, openServer, samples } from "./badlySpokenTo.js";
import { Refusal, type Kind } from "./kind.js";
import { chance, number, pick, uint32, word } from "./mutate.js";
import { mutateMessage } from "./mutateMessage.js";

/** By status: a broken stream, headers that are no call or leave it no time, the token, the method, the frame around a message, the message. */
export const callKind: Kind = {
  name: "grpc-call",
  stages: [
    { name: "call", refusal: /^(no status|HTTP \d+|status 4:)/ },
    { name: "token", refusal: /^status 16:/ },
    { name: "method", refusal: /^status 12:/ },
    { name: "length and compression", refusal: /^status (1|8|13):/ },
    { name: "message", refusal: /^status 3: (bytes that are no|no )/ },
    { name: "fields", refusal: /^status (3|9):/ },
  ],
  open: async () => {
    const bad = await openServer(true);
    let peer = new RawGrpc(bad.server);
    return {
      feed: async (random) => {
        if (peer.isClosed) peer = new RawGrpc(bad.server);
        const { path, message } = pick(random, samples);
        const answering = peer.answer(
          chance(random, 0.95) ? path : pick(random, strangePaths(random, path)),
          Buffer.concat(bodies(random, message)),
          { headers: strangeHeaders(random) },
        );
        await bad.check();
        const { status, message: said } = await answering;
        if (status === 0) return;
        if (status === undefined) throw new Refusal("no status");
        throw new Refusal(status > 16 ? `HTTP ${status}` : `status ${status}: ${said}`);
      },
      close: async () => {
        peer.close();
        await bad.close();
      },
    };
  },
};

function strangePaths(random: Random, path: string): readonly string[] {
  return [
    "/",
    path.toLowerCase(),
    `${path}/`,
    "/bitfleet.v1.Training/Nothing",
    "/__proto__/x",
    `/${random.uint32()}`,
  ];
}

/** Mostly one message, mostly with the length that it has. */
function bodies(random: Random, message: Uint8Array): readonly Buffer[] {
  const other = pick(random, samples).message;
  const one = (): Buffer => {
    const spoilt = chance(random, 0.8) ? mutateMessage(random, message, other) : message;
    if (chance(random, 0.85)) return framed(spoilt);
    const length = chance(random, 0.5)
      ? random.below(2 * spoilt.length + 1)
      : uint32(number(random));
    return framed(spoilt, pick(random, [0, 0, 1, 2, 255]), length);
  };
  return Array.from({ length: chance(random, 0.9) ? 1 : random.below(40) }, one);
}

function strangeHeaders(random: Random): Record<string, string> {
  const headers: Record<string, string> = { authorization: bearer };
  if (chance(random, 0.85)) return headers;
  const visible = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?");
  switch (random.below(7)) {
    case 0:
      return {};
    case 1:
      return { authorization: visible(pick(random, ["Bearer", "Basic x", word(random)])) };
    case 2:
      return {
        ...headers,
        "content-type": visible(pick(random, ["text/html", "application/grpc+x", word(random)])),
      };
    case 3:
      return { ...headers, "grpc-encoding": pick(random, ["gzip", "deflate", "identity", "x"]) };
    case 4:
      return {
        ...headers,
        "grpc-timeout": visible(pick(random, ["1n", "0S", "99999999H", "-1S", word(random)])),
      };
    case 5:
      return { ...headers, "x-bin": visible(word(random)) };
    default:
      for (let i = random.below(200); i > 0; i--) headers[`x-${i}`] = "y".repeat(random.below(200));
      return headers;
  }
}
