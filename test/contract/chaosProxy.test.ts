import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FaultProxy } from "../chaos/proxy.js";

/** One end of a connection with all that it was told. */
class End {
  readonly socket: Socket;
  heard = "";
  ended = false;
  error = "";

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (bytes: Buffer) => (this.heard += bytes.toString()));
    socket.on("end", () => (this.ended = true));
    socket.on("error", (error: NodeJS.ErrnoException) => (this.error = error.code ?? ""));
  }
}

let server: Server;
let proxy: FaultProxy;
let served: End[];
let clients: End[];

beforeEach(async () => {
  [served, clients] = [[], []];
  server = createServer({ allowHalfOpen: true }, (socket) => served.push(new End(socket)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  // A TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  const target = { host: "127.0.0.1", port };
  proxy = await FaultProxy.listen({ host: "127.0.1.1", port: 0 }, target);
});

afterEach(async () => {
  for (const { socket } of [...clients, ...served]) socket.destroy();
  await proxy.close();
  server.close();
});

function dial(): End {
  const { port } = proxy;
  const end = new End(connect({ host: "127.0.1.1", port, allowHalfOpen: true }));
  clients.push(end);
  return end;
}

async function pair(): Promise<{ readonly client: End; readonly peer: End }> {
  const client = dial();
  const before = served.length;
  await until(() => served.length > before);
  const peer = served[before];
  if (peer === undefined) throw new Error("nobody connected");
  return { client, peer };
}

async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries += 1) {
    if (tries > 400) throw new Error("it never came");
    await sleep(5);
  }
}

test("without harm, bytes and ends pass in both directions", async () => {
  const { client, peer } = await pair();
  client.socket.write("to the server");
  peer.socket.write("to the client");
  await until(() => peer.heard === "to the server" && client.heard === "to the client");
  client.socket.end();
  await until(() => peer.ended);
  expect(client.ended).toBe(false);
  peer.socket.end(" and an end");
  await until(() => client.ended);
  expect(client.heard).toBe("to the client and an end");
  await until(() => proxy.connections === 0);
});

test.each(["toServer", "toClient"] as const)(
  "a cut %s leaves the other direction alone, and what it held up comes when it is healed",
  async (direction) => {
    const { client, peer } = await pair();
    const [from, to] = direction === "toServer" ? [client, peer] : [peer, client];
    proxy.harm(direction, { cut: true });
    from.socket.write("held up");
    to.socket.write("passes");
    await until(() => from.heard === "passes");
    await sleep(50);
    expect(to.heard).toBe("");
    proxy.heal();
    await until(() => to.heard === "held up");
  },
);

test("neither a close nor a reset gets through a cut", async () => {
  const { client, peer } = await pair();
  const second = await pair();
  proxy.harm("toServer", { cut: true });
  client.socket.end();
  second.client.socket.resetAndDestroy();
  await sleep(50);
  expect(peer.ended).toBe(false);
  expect(second.peer.error).toBe("");
  proxy.heal();
  await until(() => peer.ended && second.peer.error === "ECONNRESET");
});

test("nobody gets a connection through a cut in either direction", async () => {
  for (const direction of ["toServer", "toClient"] as const) {
    const before = served.length;
    proxy.harm(direction, { cut: true });
    const client = dial();
    client.socket.write("hello");
    await sleep(50);
    expect(served.length).toBe(before);
    proxy.heal();
    await until(() => served[before]?.heard === "hello");
  }
});

test("a reset ends every connection at both ends, and new ones work", async () => {
  const first = await pair();
  const second = await pair();
  proxy.reset();
  const ends = [first.client, first.peer, second.client, second.peer];
  await until(() => ends.every(({ error }) => error === "ECONNRESET"));
  const third = await pair();
  third.client.socket.write("again");
  await until(() => third.peer.heard === "again");
});

test("a delay puts off every byte and keeps their order", async () => {
  const { client, peer } = await pair();
  proxy.harm("toServer", { delayMs: 80 });
  const startedMs = performance.now();
  for (const part of ["a", "b", "c"]) {
    client.socket.write(part);
    await sleep(10);
  }
  await until(() => peer.heard === "abc");
  const tookMs = performance.now() - startedMs;
  expect(tookMs).toBeGreaterThan(95);
  // One delay, not one per part.
  expect(tookMs).toBeLessThan(220);
});

test("a bandwidth holds the sender back, across all connections", async () => {
  const [one, two] = [await pair(), await pair()];
  proxy.harm("toServer", { bytesPerSecond: 1_000_000 });
  const startedMs = performance.now();
  one.client.socket.write(Buffer.alloc(100_000, "1"));
  two.client.socket.write(Buffer.alloc(100_000, "2"));
  await until(() => one.peer.heard.length === 100_000 && two.peer.heard.length === 100_000);
  expect(performance.now() - startedMs).toBeGreaterThan(190);
});

test("many megabytes to a slow reader arrive whole", async () => {
  const { client, peer } = await pair();
  peer.socket.pause();
  const bytes = 24 * 1024 * 1024;
  client.socket.end(Buffer.alloc(bytes, "x"));
  await sleep(100);
  peer.socket.resume();
  await until(() => peer.ended);
  expect(peer.heard.length).toBe(bytes);
});

test("a server that is not there resets the client", async () => {
  server.close();
  const client = dial();
  await until(() => client.error === "ECONNRESET");
});

test("a cut sender is held back instead of filling our memory", async () => {
  const { client } = await pair();
  proxy.harm("toServer", { cut: true });
  const bytes = 64 * 1024 * 1024;
  client.socket.write(Buffer.alloc(bytes));
  await sleep(200);
  expect(client.socket.writableLength).toBeGreaterThan(bytes / 2);
});
