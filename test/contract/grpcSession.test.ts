import { Client, credentials } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import type { WorkerCommand, WorkerEvent } from "../../src/control/message.js";
import { incarnationOf } from "../../src/wire/incarnation.js";
import { openSession } from "../../src/link/grpcClient.js";
import { sessionPath } from "../../src/link/methods.js";
import type {
  RunningServer,
  ServerOptions,
  SessionClient,
  WorkerSession,
} from "../../src/link/service.js";
import { oneToken } from "../../src/process/tokenBook.js";
import { addressOf, serve } from "./grpcFixture.js";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const hello: WorkerEvent = {
  kind: "hello",
  workerId: "worker-1",
  incarnation: incarnationOf("a1b2c3"),
  secret: "a1b2c3",
  host: "host",
  pid: 12,
  device: "CPU, 1 thread",
  gpu: false,
  numerics: "cpu-x",
  term: 0,
  held: undefined,
};

function prepared(attempt: number): WorkerEvent {
  return { kind: "prepared", job: "digits", attempt, probe: "ab12" };
}

interface Worker {
  readonly client: SessionClient;
  readonly commands: [number, WorkerCommand][];
  readonly ends: [string, boolean][];
}

function join(address: string, token = ""): Worker {
  const commands: [number, WorkerCommand][] = [];
  const ends: [string, boolean][] = [];
  const client = openSession({
    address,
    token,
    onCommand: (term, command) => commands.push([term, command]),
    onClosed: (reason, refused) => ends.push([reason, refused]),
  });
  closers.push(() => client.close());
  return { client, commands, ends };
}

async function host(options: Partial<ServerOptions> = {}): Promise<{
  readonly server: RunningServer;
  readonly sessions: WorkerSession[];
}> {
  const sessions: WorkerSession[] = [];
  const server = await serve({}, { onSession: (session) => sessions.push(session), ...options });
  closers.push(() => server.close("over"));
  return { server, sessions };
}

/** The session of the only worker, once it is there. */
async function first(sessions: readonly WorkerSession[]): Promise<WorkerSession> {
  await expect.poll(() => sessions.length).toBeGreaterThan(0);
  const session = sessions[0];
  if (session === undefined) throw new Error("no session");
  return session;
}

describe("a worker's session", () => {
  test("events and commands arrive in order, with what was sent before the listener was set", async () => {
    const { server, sessions } = await host();
    const worker = join(addressOf(server));
    worker.client.send(hello);
    for (let attempt = 1; attempt <= 200; attempt += 1) worker.client.send(prepared(attempt));
    const session = await first(sessions);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const events: WorkerEvent[] = [];
    session.onEvent((event) => events.push(event));
    await expect.poll(() => events.length).toBe(201);
    expect(events).toEqual([hello, ...Array.from({ length: 200 }, (_, i) => prepared(i + 1))]);

    const facts = { step: 7, loss: 0.5, sumChecksum: 9 };
    for (let step = 0; step < 200; step += 1) {
      session.send(9, { kind: "commit", job: "digits", attempt: 1, step, save: step === 7, facts });
    }
    await expect.poll(() => worker.commands.length).toBe(200);
    expect(worker.commands[7]).toEqual([
      9,
      { kind: "commit", job: "digits", attempt: 1, step: 7, save: true, facts },
    ]);
    expect(session.peer).toContain("127.0.0.1");
  });

  test("closing by the coordinator gives the worker the reason, once, after the commands before it", async () => {
    const { server, sessions } = await host();
    const worker = join(addressOf(server));
    worker.client.send(hello);
    const session = await first(sessions);
    const closed: string[] = [];
    session.onEvent(() => undefined);
    session.onClosed((reason) => closed.push(reason));
    session.send(1, { kind: "spare", reason: "another CPU" });
    session.close("superseded by a newer incarnation");
    session.close("again");
    session.send(1, { kind: "spare", reason: "too late" });
    await expect.poll(() => worker.ends.length).toBe(1);
    expect(worker.ends).toEqual([["superseded by a newer incarnation", false]]);
    expect(worker.commands).toEqual([[1, { kind: "spare", reason: "another CPU" }]]);
    expect(closed).toEqual(["superseded by a newer incarnation"]);
  });

  test("nothing is received after the coordinator has closed the session", async () => {
    const { server, sessions } = await host();
    const worker = join(addressOf(server));
    worker.client.send(hello);
    for (let attempt = 1; attempt <= 50; attempt += 1) worker.client.send(prepared(attempt));
    const session = await first(sessions);
    const seen: string[] = [];
    session.onClosed((reason) => seen.push(reason));
    session.onEvent((event) => {
      seen.push(event.kind);
      if (event.kind === "prepared") session.close("enough");
    });
    await expect.poll(() => worker.ends).toEqual([["enough", false]]);
    expect(seen).toEqual(["hello", "prepared", "enough"]);
  });

  test("a worker that leaves is seen to leave, after its last event", async () => {
    const { server, sessions } = await host();
    const worker = join(addressOf(server));
    worker.client.send(hello);
    const session = await first(sessions);
    const seen: string[] = [];
    session.onEvent((event) => seen.push(event.kind));
    session.onClosed((reason) => seen.push(reason));
    worker.client.send({ kind: "leave", reason: "SIGTERM" });
    worker.client.close();
    await expect.poll(() => seen).toEqual(["hello", "leave", "the worker ended the stream"]);
    await expect.poll(() => worker.ends).toEqual([["the stream has ended", false]]);
  });

  test("a connection that breaks is told to both ends", async () => {
    const { server, sessions } = await host();
    const worker = join(addressOf(server));
    worker.client.send(hello);
    const session = await first(sessions);
    const closed: string[] = [];
    session.onEvent(() => undefined);
    session.onClosed((reason) => closed.push(reason));
    await server.close("is shutting down");
    await expect.poll(() => worker.ends.length).toBe(1);
    expect(worker.ends[0]).toEqual([
      `the coordinator at ${addressOf(server)} is shutting down`,
      false,
    ]);
    expect(closed).toEqual(["is shutting down"]);
  });

  test("bytes that are no event end that session with a sentence and leave the server alive", async () => {
    const { server, sessions } = await host();
    const client = new Client(addressOf(server), credentials.createInsecure());
    closers.push(() => client.close());
    const bytes = (value: Buffer): Buffer => value;
    const call = client.makeBidiStreamRequest<Buffer, Buffer>(sessionPath, bytes, bytes);
    const failures: string[] = [];
    call.on("error", (error) => failures.push(error.message));
    call.resume();
    const session = first(sessions);
    call.write(Buffer.from([0xff, 0xff, 0xff]));
    const closed: string[] = [];
    (await session).onEvent(() => undefined);
    (await session).onClosed((reason) => closed.push(reason));
    await expect.poll(() => failures).toEqual(["3 INVALID_ARGUMENT: bytes that are no FromWorker"]);
    expect(closed).toEqual(["bytes that are no FromWorker"]);

    const worker = join(addressOf(server));
    worker.client.send(hello);
    await expect.poll(() => sessions.length).toBe(2);
  });

  test("a wrong token is a refusal, nobody listening is not", async () => {
    const { server, sessions } = await host({ callers: oneToken("right-token") });
    const wrong = join(addressOf(server), "wrong-token");
    wrong.client.send(hello);
    await expect.poll(() => wrong.ends.length).toBe(1);
    const at = addressOf(server);
    expect(wrong.ends).toEqual([
      [`the coordinator at ${at} refused the token: it is not the right one`, true],
    ]);
    expect(sessions).toEqual([]);

    await server.close("over");
    const nobody = join(at, "right-token");
    nobody.client.send(hello);
    await expect
      .poll(() => nobody.ends, { timeout: 5_000 })
      .toEqual([[`cannot reach the coordinator at ${at}: nothing listens there`, false]]);
  });

  test("an address that is none is reported like every other end", async () => {
    const worker = join("nowhere");
    await expect.poll(() => worker.ends.length).toBe(1);
    expect(worker.ends[0]?.[1]).toBe(true);
    expect(worker.ends[0]?.[0]).toContain("HOST:PORT");
  });

  test("a worker that leaves its commands unread is closed", async () => {
    const { server, sessions } = await host();
    const client = new Client(addressOf(server), credentials.createInsecure());
    closers.push(() => client.close());
    const bytes = (value: Buffer): Buffer => value;
    const call = client.makeBidiStreamRequest<Buffer, Buffer>(sessionPath, bytes, bytes);
    call.on("error", () => undefined);
    call.write(Buffer.alloc(0));
    const session = await first(sessions);
    const closed: string[] = [];
    session.onClosed((reason) => closed.push(reason));
    for (let i = 0; i < 5_000 && closed.length === 0; i += 1) {
      session.send(1, { kind: "spare", reason: "x".repeat(4_000) });
      await Promise.resolve();
    }
    expect(closed).toEqual(["the worker left 1024 commands unread"]);
    call.cancel();
  });
});
