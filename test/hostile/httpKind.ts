import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { serveHttp } from "../../coordinator/http.js";
import type { Callers, Role } from "../../src/job/roles.js";
import type { Random } from "../../src/plan/random.js";
import { hold, Refusal, type Kind } from "./kind.js";
import { chance, mutate, number, pick, word } from "./mutate.js";

/** Raw requests over a socket to the coordinator's HTTP server, while another client is answered. */

export const token = "the-token";
const secret = "what only a viewer may read";

/** Know the one token, as of this role. */
export function callersOf(role: Role): Callers {
  return {
    find: (given) => (given === token ? { name: "somebody", role } : undefined),
    whyNotWorker: () => undefined,
    onChange: () => () => undefined,
  };
}

const hasToken = new RegExp(`bearer\\s+${token}`, "i");

/** Longer than an answer takes on a loaded machine. */
const answerMs = 15_000;

export const httpKind: Kind = {
  name: "http-request",
  stages: [
    { name: "request line and headers", refusal: /^no answer$|^HTTP (400|417)/ },
    { name: "size of the headers", refusal: /^HTTP 431/ },
    { name: "method", refusal: /^HTTP 405/ },
    { name: "path", refusal: /^HTTP 404/ },
    { name: "token", refusal: /^HTTP (401|403)/ },
  ],
  open: async () => {
    const server = await serveHttp({
      ...{ host: "127.0.0.1", port: 0, callers: callersOf("viewer"), unready: () => undefined },
      ...{ status: () => ({ secret }), metricsAreOpen: false },
      metrics: async () => ({ contentType: "text/plain", text: secret }),
    });
    const other = new Bystander(server.port);
    return {
      feed: async (random) => {
        const request = spoiltRequest(random);
        const answer = await answerTo(server.port, request, () => other.isServed());
        const told = answer.includes(secret) && !hasToken.test(request.toString("latin1"));
        hold(!told, "it told a secret to somebody without a token");
        // Of several requests in one connection the first counts, and what is said before its answer does not.
        const status = /^(?:HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1];
        hold(status !== undefined || answer === "", `an answer that is no HTTP: ${answer}`);
        hold(status === undefined || status < "500", answer.split("\r\n", 1)[0] ?? "");
        if (status !== "200") throw new Refusal(status ? `HTTP ${status}` : "no answer");
      },
      close: async () => {
        other.close();
        await server.close();
      },
    };
  },
};

/** Everything that comes back until the server hangs up. */
async function answerTo(
  port: number,
  request: Buffer,
  meanwhile: () => Promise<void>,
): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  let answer = "";
  socket.on("data", (bytes: Buffer) => (answer += bytes.toString("latin1")));
  // The server may hang up while it is being written to.
  socket.on("error", () => undefined);
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.on("end", () => socket.destroy());
  socket.write(request);
  await meanwhile();
  socket.end();
  const late = new AbortController();
  const hung = sleep(answerMs, "hung", { signal: late.signal }).catch(() => "ended");
  const outcome = await Promise.race([closed, hung]);
  late.abort();
  socket.destroy();
  hold(outcome !== "hung", `neither an answer nor an end after ${answerMs} ms`);
  return answer;
}

/** A client that does nothing wrong, on a connection of its own. */
class Bystander {
  readonly #port: number;
  #socket: Socket | undefined;

  constructor(port: number) {
    this.#port = port;
  }

  async isServed(): Promise<void> {
    const socket =
      this.#socket?.writable === true ? this.#socket : connect(this.#port, "127.0.0.1");
    this.#socket = socket;
    const answer = await new Promise<string>((resolve) => {
      const listen = (how: "addListener" | "removeListener"): void => {
        socket[how]("data", told)[how]("close", broken)[how]("error", broken);
      };
      const told = (bytes: Buffer): void => end(bytes.toString("latin1"));
      const broken = (): void => end("no answer");
      const end = (text: string): void => {
        listen("removeListener");
        resolve(text);
      };
      listen("addListener");
      socket.write("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    });
    hold(answer.startsWith("HTTP/1.1 200 "), `another client got ${answer}`);
    // A connection may ask a thousand times.
    if (/^connection: close/im.test(answer)) this.close();
  }

  close(): void {
    this.#socket?.destroy();
  }
}

const methods = [
  "GET",
  "HEAD",
  "POST",
  "PUT",
  "DELETE",
  "OPTIONS",
  "CONNECT",
  "TRACE",
  "PRI",
  "get",
];
const paths = ["/healthz", "/readyz", "/status", "/metrics", "/status?x=1", "/", "*", "//status"];
const strangePaths = [
  ...["/../status", "/%2e%2e/status", "/status%00", "/status#x", "http://b/status", "b:80", ""],
  ...["/__proto__", "/constructor", `/${"a".repeat(9000)}`, "/status\t", "/\u00ff"],
];
const versions = [
  "HTTP/1.1",
  "HTTP/1.1",
  "HTTP/1.1",
  "HTTP/1.0",
  "HTTP/2.0",
  "HTTP/9.9",
  "http/1.1",
  "",
];

function spoiltRequest(random: Random): Buffer {
  const request = requestText(random);
  const bytes = Buffer.from(request, "latin1");
  const more = chance(random, 0.1) ? Buffer.from(requestText(random), "latin1") : Buffer.alloc(0);
  const all = Buffer.concat([bytes, more]);
  return chance(random, 0.3) ? mutate(random, all) : all;
}

function requestText(random: Random): string {
  const method = chance(random, 0.7) ? "GET" : pick(random, [...methods, word(random)]);
  const path = pick(random, chance(random, 0.8) ? paths : [...strangePaths, word(random)]);
  const version = chance(random, 0.8) ? "HTTP/1.1" : pick(random, versions);
  const lineEnd = chance(random, 0.95) ? "\r\n" : pick(random, ["\n", "\r", "\r\r\n", "\0\r\n"]);
  const head = [`${method} ${path} ${version}`, ...headers(random)].join(lineEnd);
  return `${head}${lineEnd}${lineEnd}${chance(random, 0.3) ? body(random) : ""}`;
}

function headers(random: Random): readonly string[] {
  const lines = chance(random, 0.95) ? ["host: a"] : [];
  if (chance(random, 0.7)) {
    const given = pick(random, [token, token, "another", word(random), ""]);
    const scheme = chance(random, 0.9)
      ? "Bearer"
      : pick(random, ["bearer", "Basic", "", "Bearer "]);
    lines.push(`authorization: ${scheme} ${given}`);
  }
  if (chance(random, 0.3)) lines.push(...strangeHeaders(random));
  return lines;
}

function strangeHeaders(random: Random): readonly string[] {
  const name = pick(random, ["x-a", "content-length", "transfer-encoding", "host", word(random)]);
  switch (random.below(8)) {
    case 0: // A flood.
      return Array.from({ length: 1 + random.below(4000) }, (_, i) => `x-${i}: ${name}`);
    case 1:
      return [`x-long: ${"y".repeat(random.below(20_000))}`];
    case 2:
      return [`content-length: ${number(random)}`];
    case 3:
      return [`content-length: 5`, `content-length: ${random.below(7)}`];
    case 4:
      return ["transfer-encoding: chunked", ...(chance(random, 0.3) ? ["content-length: 4"] : [])];
    case 5:
      return [
        `transfer-encoding: ${pick(random, ["xchunked", "gzip, chunked", "chunked, identity"])}`,
      ];
    case 6:
      return [
        pick(random, ["connection: upgrade", "connection: close", "expect: 100-continue"]),
        `upgrade: ${pick(random, ["h2c", "websocket", word(random)])}`,
      ];
    default:
      return [
        `${name}:${word(random)}`,
        pick(random, [" folded", "no colon", ": no name", "a b: c"]),
      ];
  }
}

/** Chunks, well made or not. */
function body(random: Random): string {
  const size = pick(random, ["5", "0", "-1", "ffffffffffffffff", "g", "5;x=y", "00000005", "5 "]);
  const tail = pick(random, ["0\r\n\r\n", "0\r\nx-trailer: y\r\n\r\n", "", "\r\n", word(random)]);
  return `${size}\r\nhello\r\n${tail}`;
}
