import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, type ConnectionOptions } from "node:tls";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { serveHttp } from "../../coordinator/http.js";
import { Authority } from "../../src/cli/authority.js";
import { oneToken } from "../../src/process/tokenBook.js";
import { WatchedTls } from "../../src/process/certificates.js";
import { inDays, PemFolder } from "../support/pemFolder.js";

const closers: (() => Promise<void> | void)[] = [];
let pems: PemFolder;
let port: number;

beforeEach(async () => {
  pems = new PemFolder();
  closers.push(() => pems.remove());
  const authority = await Authority.make("a fleet's CA", inDays(100));
  const hosts = ["127.0.0.1"];
  pems.put("ca", authority.pem);
  pems.put("server", await authority.issue({ name: "coordinator", hosts, notAfter: inDays(90) }));
  pems.put("client", await authority.issue({ name: "client", notAfter: inDays(90) }));
  const watched = new WatchedTls(pems.files("server"), () => undefined);
  closers.push(() => watched.close());
  const server = await serveHttp({
    ...{ host: "127.0.0.1", port: 0, callers: oneToken("token") },
    ...{ unready: () => undefined, status: () => ({ term: 1 }), metricsAreOpen: false },
    metrics: async () => ({ contentType: "text/plain", text: "one 1\n" }),
    tls: { watched, clientCertificates: true },
  });
  closers.push(() => server.close());
  ({ port } = server);
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Answer {
  readonly code: number;
  /** The newest that the server gave. */
  readonly session: Buffer | undefined;
  readonly isReused: boolean;
}

/** Over a connection of its own. */

function get(path: string, how: ConnectionOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const ca = readFileSync(pems.files(undefined).ca ?? "");
    const socket = connectTls({ port, host: "127.0.0.1", ca, ...how });
    let session: Buffer | undefined;
    let text = "";
    let isReused = false;
    socket.on("secureConnect", () => (isReused = socket.isSessionReused()));
    socket.on("session", (given) => (session = given));
    socket.on("data", (bytes: Buffer) => (text += bytes.toString()));
    socket.on("error", reject);
    socket.on("close", () => {
      const code = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
      resolve({ code, session, isReused });
    });
    socket.write(
      `GET ${path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer token\r\nconnection: close\r\n\r\n`,
    );
  });
}

test.each(["TLSv1.2", "TLSv1.3"] as const)(
  "no session from before stands in for a client's certificate: %s",
  async (version) => {
    const versions = { minVersion: version, maxVersion: version };
    const first = await get("/status", versions);
    expect(first.code).toBe(403);
    const { session } = first;
    for (const path of ["/status", "/metrics"])
      expect(await get(path, { ...versions, session }), path).toMatchObject({ code: 403 });
    // Nor does one that was begun with a certificate do for who has none.
    const { certificate = "", key = "" } = pems.files("client");
    const own = { cert: readFileSync(certificate), key: readFileSync(key) };
    const known = await get("/status", { ...versions, ...own });
    expect(known.code).toBe(200);
    expect(await get("/status", { ...versions, session: known.session })).toMatchObject({
      code: 403,
      isReused: false,
    });
  },
);

test(
  "who begins no handshake, or does not get on with it, is cut",
  { timeout: 60_000 },
  async () => {
    const silent = connectTcp(port, "127.0.0.1");
    const slow = connectTcp(port, "127.0.0.1");
    // The head of a greeting that is said to have 16 KiB, of which a byte comes now and then.
    slow.write(Buffer.from([0x16, 3, 1, 0x3f, 0xff, 1]));
    const trickle = setInterval(() => slow.writable && slow.write(Buffer.from([0])), 1000);
    closers.push(
      () => clearInterval(trickle),
      () => void [silent, slow].map((socket) => socket.destroy()),
    );
    const begunMs = performance.now();
    for (const socket of [silent, slow]) {
      socket.on("error", () => undefined);
      socket.resume();
    }
    await Promise.all([silent, slow].map((socket) => once(socket, "close")));
    expect(performance.now() - begunMs).toBeLessThan(30_000);
    expect((await get("/healthz", {})).code).toBe(200);
  },
);
