import { connect as connectTcp, type Socket } from "node:net";
import { once } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import { serveHttp } from "../../coordinator/http.js";
import { Sessions } from "../../coordinator/sessions.js";
import { connect } from "../../src/client/client.js";
import { callBounds } from "../../src/link/callBounds.js";
import { connectionBounds } from "../../src/link/connectionBounds.js";
import type { RunningServer } from "../../src/link/service.js";
import { oneToken } from "../../src/process/tokenBook.js";
import { jobName } from "../../src/wire/trainingCodecs.js";
import { workerEvent } from "../../src/wire/workerEvent.js";
import { framed, RawGrpc } from "../support/rawGrpc.js";
import {
  callHeaders,
  flags,
  frame,
  frameTypes,
  headerBlock,
  preface,
} from "../support/rawHttp2.js";
import { until } from "../support/fleetProcesses.js";
import { events } from "../unit/wireValues.js";
import { addressOf, jobStatus, serve } from "./grpcFixture.js";

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const name = framed(jobName.encode("digits"));
const training = "/bitfleet.v1.Training";
const callers = {
  find: () => undefined,
  whyNotWorker: () => undefined,
  onChange: () => () => undefined,
};

async function serving(...how: Parameters<typeof serve>): Promise<RunningServer> {
  const server = await serve({ getJob: async () => jobStatus(), ...how[0] }, how[1]);
  cleanUps.push(() => server.close("the test ends"));
  return server;
}

function raw(server: RunningServer): RawGrpc {
  const peer = new RawGrpc(server);
  cleanUps.push(() => peer.close());
  return peer;
}

async function isServed(server: RunningServer, token = ""): Promise<boolean> {
  const client = connect({ address: addressOf(server), token });
  try {
    return (await client.job("digits")).name === "digits";
  } finally {
    client.close();
  }
}

function tcp(port: number): Socket {
  const socket = connectTcp(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.resume();
  cleanUps.push(() => socket.destroy());
  return socket;
}

describe("gRPC", () => {
  test("a flood of streams of one kind is refused past its bound, while other calls are answered", async () => {
    let open = 0;
    let opened = 0;
    const watchJob = async function* (_: string, signal: AbortSignal) {
      open += 1;
      opened += 1;
      yield jobStatus();
      if (!signal.aborted) await once(signal, "abort");
      open -= 1;
    };
    const bounds = { ...callBounds, perMethod: { WatchJob: 20 } };
    const server = await serving({ watchJob }, { callBounds: bounds });
    const peer = raw(server);
    const statuses: (number | undefined)[] = [];
    for (let i = 0; i < 200; i++)
      void peer.call(`${training}/WatchJob`, name).then((status) => statuses.push(status));
    await until("180 are refused", () => statuses.length === 180);
    expect(new Set(statuses)).toEqual(new Set([8]));
    expect(opened).toBe(20);
    expect(await isServed(server)).toBe(true);
    peer.close();
    await until("their places are free", () => open === 0);
    const next = raw(server);
    void next.call(`${training}/WatchJob`, name);
    await until("another stream gets one", () => opened === 21);
  });

  test("one address cannot take every call's place", async () => {
    const bounds = { ...callBounds, calls: 10, perAddress: 3, perMethod: {} };
    const never = (): Promise<never> => new Promise(() => undefined);
    const server = await serving({ cancelJob: never }, { callBounds: bounds });
    const peer = raw(server);
    for (let i = 0; i < 3; i++) void peer.call(`${training}/CancelJob`, name);
    expect(await peer.call(`${training}/CancelJob`, name)).toBe(8);
  });

  test("who has no token is refused before its message is there", async () => {
    const server = await serving({}, { callers });
    const peer = raw(server);
    const part = framed(new Uint8Array(10), 0, 4_000_000);
    expect(await peer.call(`${training}/GetJob`, part, { open: true })).toBe(16);
    expect(await peer.call(`${training}/Predict`, part, { open: true })).toBe(16);
    expect(await peer.call("/bitfleet.v1.Fleet/Session", part, { open: true })).toBe(16);
  });

  test("who has no token cannot take the places of calls with one", async () => {
    const bounds = { ...callBounds, calls: 12, strangers: 4, strangersPerAddress: 3 };
    const server = await serving({}, { callers: oneToken("right"), callBounds: bounds });
    const statuses: (number | undefined)[] = [];
    const watch = (peer: RawGrpc): void => {
      const answer = peer.call("/grpc.health.v1.Health/Watch", framed(new Uint8Array(0)));
      void answer.then((status) => statuses.push(status));
    };
    const peer = raw(server);
    for (let i = 0; i < 30; i++) watch(peer);
    await until("all but three are refused", () => statuses.length === 27);
    expect(new Set(statuses)).toEqual(new Set([8]));
    expect(await isServed(server, "right")).toBe(true);
  });

  test("a Watch of health is for ever, and so there are few", async () => {
    const server = await serving({}, { callers: oneToken("right") });
    const peer = raw(server);
    const headers = { authorization: "Bearer right" };
    const statuses: (number | undefined)[] = [];
    for (let i = 0; i < 70; i++)
      void peer
        .call("/grpc.health.v1.Health/Watch", framed(new Uint8Array(0)), { headers })
        .then((status) => statuses.push(status));
    await until("six are refused", () => statuses.length === 6);
    // Those with a token have not taken the places of a probe.
    expect(await raw(server).call("/grpc.health.v1.Health/Check", framed(new Uint8Array(0)))).toBe(
      0,
    );
  });

  test("a request that never comes whole is ended", async () => {
    const server = await serving({}, { callBounds: { ...callBounds, requestMs: 300 } });
    const peer = raw(server);
    const part = framed(new Uint8Array(10), 0, 4_000_000);
    const late = peer.call(`${training}/GetJob`, part, { open: true });
    expect(await isServed(server)).toBe(true);
    expect(await late).toBe(4);
  });

  test("messages that are too large, or say so, are refused", async () => {
    const server = await serving({});
    const peer = raw(server);
    const large = framed(new Uint8Array(5 * 2 ** 20));
    expect(await peer.call(`${training}/GetJob`, large)).toBe(8);
    const claimed = framed(new Uint8Array(10), 0, 0xffffffff);
    expect(await peer.call(`${training}/GetJob`, claimed, { open: true })).toBe(8);
    expect(await isServed(server)).toBe(true);
  });

  test("connections past the bound are closed, and make room when they end", async () => {
    const bounds = { connections: 16, perAddress: 5, strangers: 16, silentMs: 60_000 };
    const server = await serving({}, { connectionBounds: bounds });
    const sockets = Array.from({ length: 9 }, () => tcp(server.port));
    await until("four are closed", () => sockets.filter(({ closed }) => closed).length === 4);
    for (const socket of sockets) socket.destroy();
    await until("a client is served", () => isServed(server).catch(() => false));
  });

  test("connections without a token make room for those with one, which stay", async () => {
    const bounds = { connections: 100, perAddress: 100, strangers: 4, silentMs: 60_000 };
    const server = await serving({}, { callers: oneToken("right"), connectionBounds: bounds });
    const known = connect({ address: addressOf(server), token: "right" });
    cleanUps.push(() => known.close());
    expect((await known.job("digits")).name).toBe("digits");
    let closed = 0;
    const hold = (): void => void tcp(server.port).once("close", () => (closed += 1));
    for (let i = 0; i < 50; i++) hold();
    await until("only four are left", () => closed === 46);
    expect((await known.job("digits")).name).toBe("digits");
    // Others come all the time, and a newcomer is served nevertheless.
    const flood = setInterval(hold, 20);
    cleanUps.push(() => clearInterval(flood));
    expect(await isServed(server, "right")).toBe(true);
  });

  test("a connection over which nothing is asked is cut, one with a call is not", async () => {
    const bounds = { ...connectionBounds, silentMs: 1000 };
    const watchJob = async function* (_: string, signal: AbortSignal) {
      yield jobStatus();
      if (!signal.aborted) await once(signal, "abort");
    };
    const server = await serving({ watchJob }, { connectionBounds: bounds });
    const peer = raw(server);
    void peer.call(`${training}/WatchJob`, name);
    const silent = tcp(server.port);
    const greeted = raw(server);
    await once(silent, "close");
    await until("who only greeted is cut, too", () => greeted.isClosed);
    expect(peer.isClosed).toBe(false);
  });

  test("a watcher that does not read holds one status, not all", async () => {
    let made = 0;
    const watchJob = async function* () {
      for (; made < 10_000; made++) yield jobStatus({ reason: "x".repeat(4000) });
    };
    const server = await serving({ watchJob });
    const socket = tcp(server.port);
    // The preface, SETTINGS with a window of 100 bytes, then the call; nothing is read after that.
    socket.pause();
    socket.write(preface);
    socket.write(frame(frameTypes.settings, 0, Buffer.from([0, 4, 0, 0, 0, 100]), 0));
    const block = headerBlock(callHeaders(`${training}/WatchJob`));
    socket.write(frame(frameTypes.headers, flags.endHeaders, block));
    socket.write(frame(frameTypes.data, flags.endStream, name));
    await until("it is being sent to", () => made > 0);
    for (let i = 0; i < 5; i++) expect(await isServed(server)).toBe(true);
    expect(made).toBeLessThan(50);
  });

  test(
    "streams that never say hello are ended, while a worker joins",
    { timeout: 60_000 },
    async () => {
      const heard: string[] = [];
      const sessions = new Sessions({
        onEvent: (workerId) => heard.push(workerId),
        onDisconnected: () => undefined,
      });
      const server = await serving({}, { onSession: (session) => sessions.attach(session) });
      const peer = raw(server);
      const silent = Array.from({ length: 100 }, () =>
        peer.call("/bitfleet.v1.Fleet/Session", new Uint8Array(0), { open: true }),
      );
      const [hello] = events;
      if (hello === undefined) throw new Error("no hello");
      const good = raw(server);
      void good.call("/bitfleet.v1.Fleet/Session", framed(workerEvent.encode(hello)), {
        open: true,
      });
      await until("the worker is heard", () => heard.length === 1);
      expect(new Set(await Promise.all(silent))).toEqual(new Set([9]));
      expect(await isServed(server)).toBe(true);
    },
  );
});

describe("HTTP", () => {
  const http = async () => {
    const options = { host: "127.0.0.1", port: 0, callers, unready: () => undefined };
    const server = await serveHttp({
      ...options,
      status: () => ({}),
      metrics: () => Promise.reject(new Error("not asked for")),
      metricsAreOpen: false,
    });
    cleanUps.push(() => server.close());
    return server;
  };
  const isAlive = async ({ port }: { readonly port: number }): Promise<boolean> =>
    (await fetch(`http://127.0.0.1:${port}/healthz`, { headers: { connection: "close" } })).ok;
  const answerOf = async (socket: Socket): Promise<string> => {
    let text = "";
    socket.on("data", (bytes: Buffer) => (text += bytes.toString("latin1")));
    await once(socket, "close");
    return text;
  };

  test(
    "requests that trickle in are ended, while others are answered",
    { timeout: 60_000 },
    async () => {
      const server = await http();
      const sockets = Array.from({ length: 100 }, () => tcp(server.port));
      const trickle = setInterval(() => {
        for (const socket of sockets) if (socket.writable) socket.write("x-a: b\r\n");
      }, 500);
      cleanUps.push(() => clearInterval(trickle));
      for (const socket of sockets) socket.write("GET /healthz HTTP/1.1\r\nhost: a\r\n");
      const answers = Promise.all(sockets.map(answerOf));
      expect(await isAlive(server)).toBe(true);
      for (const answer of await answers) expect(answer).toMatch(/^HTTP\/1\.1 (408|431) /);
      expect(await isAlive(server)).toBe(true);
    },
  );

  test("a header that is too long is refused", async () => {
    const server = await http();
    const socket = tcp(server.port);
    socket.write(
      `GET /status HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${"x".repeat(9000)}\r\n\r\n`,
    );
    expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 431 /);
    expect(await isAlive(server)).toBe(true);
  });

  test("connections past the bound are closed, and make room when they end", async () => {
    const server = await http();
    const sockets = Array.from({ length: 600 }, () => tcp(server.port));
    await until("216 are closed", () => sockets.filter(({ closed }) => closed).length === 216);
    for (const socket of sockets) socket.destroy();
    await until("others are answered", () => isAlive(server).catch(() => false));
  });
});
