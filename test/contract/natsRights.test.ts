import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { connect, Events, type NatsConnection } from "nats";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import type { NatsUser } from "../../src/control/message.js";
import type { LinkHandlers, LinkStatus } from "../../src/link/frameLink.js";
import { openRecords } from "../../src/link/jetstream.js";
import { connectFrames } from "../../src/link/nats.js";
import type { NatsTarget } from "../../src/link/natsConnection.js";
import { startNatsServer } from "../../src/link/natsServer.js";
import { failureOf } from "../support/failureOf.js";
import { natsBinary, until } from "./frameTransports.js";
import { NatsProcess } from "./natsProcess.js";

const users = {
  coordinator: { user: "coordinator", secret: "the-coordinators" },
  worker: { user: "worker", secret: "the-workers" },
};
const never = new AbortController().signal;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined): string => new TextDecoder().decode(value);
const as = (user: NatsUser): NatsTarget => ({ url, login: () => user });
const silent: LinkHandlers = { onFrame: () => undefined, onStatus: () => undefined };

let url = "";
/** A worker's credentials in the hands of somebody who does with them what he likes. */
let intruder: NatsConnection;
const denied: string[] = [];
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-rights-"));
  closers.push(() => rm(folder, { recursive: true }));
  const server = await startNatsServer({ binary: await natsBinary(), folder, users });
  closers.push(() => server.stop());
  ({ url } = server);
  intruder = await connect({ servers: url, user: "worker", pass: users.worker.secret });
  closers.push(() => intruder.close());
  void (async () => {
    for await (const { type, permissionContext: context } of intruder.status())
      if (type === Events.Error) denied.push(`${context?.operation} ${context?.subject}`);
  })();
});

afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

/** What the server has denied the intruder of what it has just done. */
async function deniedOf(act: () => unknown): Promise<readonly string[]> {
  denied.length = 0;
  act();
  await intruder.flush();
  await turn();
  return [...denied];
}

test("with the coordinator's rights the records, the lock and the logs are made, written and read", async () => {
  const store = await openRecords(as(users.coordinator));
  closers.push(() => store.close());
  const revision = await store.jobs.write("a", bytes("one"), 0, never);
  expect(await store.jobs.write("a", bytes("two"), revision ?? 0, never)).toBeGreaterThan(1);
  expect(text((await store.jobs.read("a"))?.value)).toBe("two");
  expect(await store.jobs.keys()).toEqual(["a"]);
  expect(await store.lock.write("lock", bytes("mine"), 0, never)).toBeGreaterThan(0);
  expect(text((await store.lock.read("lock"))?.value)).toBe("mine");
  expect(await store.logs.append("a", bytes("line"), 0, never)).toBeGreaterThan(0);
  expect((await store.logs.read("a", 1, 9)).lines.map(({ data }) => text(data))).toEqual(["line"]);
  expect(text((await store.logs.last("a"))?.data)).toBe("line");
});

test("with a worker's rights frames go both ways", async () => {
  const heard: string[] = [];
  const [a, b] = await Promise.all(
    ["a-1", "b-1"].map((address) =>
      connectFrames({
        ...{ ...as(users.worker), ...silent, address },
        onFrame: (frame) => heard.push(`${address} ${text(frame)}`),
      }),
    ),
  );
  closers.push(async () => Promise.all([a?.close(), b?.close()]));
  a?.send("b-1", bytes("to b"));
  b?.send("a-1", bytes("to a"));
  await until("both frames", () => heard.length === 2);
  expect(heard.toSorted()).toEqual(["a-1 to a", "b-1 to b"]);
});

describe("a worker's credentials", () => {
  test.each([
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.INFO.KV_bitfleet_jobs",
    "$JS.API.STREAM.CREATE.more",
    "$JS.API.STREAM.UPDATE.bitfleet_logs",
    "$JS.API.STREAM.PURGE.KV_bitfleet_jobs",
    "$JS.API.STREAM.DELETE.KV_bitfleet_lock",
    "$JS.API.STREAM.MSG.GET.KV_bitfleet_jobs",
    "$JS.API.DIRECT.GET.bitfleet_logs",
    "$JS.API.CONSUMER.CREATE.KV_bitfleet_jobs",
    "$JS.ACK.bitfleet_logs.a.1.1.1.1.0",
    "$KV.bitfleet_jobs.a",
    "$KV.bitfleet_lock.lock",
    "bitfleet.logs.a",
    "_INBOX.somebody",
    "bitfleet.x.a.b",
    "anything",
  ])("may not publish to %s", async (subject) => {
    expect(await deniedOf(() => intruder.publish(subject))).toEqual([`publish ${subject}`]);
  });

  test.each([
    ">",
    "*.*.*",
    "$KV.>",
    "$JS.>",
    "_INBOX.>",
    "bitfleet.logs.*",
    "bitfleet.>",
    "$SYS.>",
  ])("may not subscribe to %s", async (subject) => {
    const subscribe = (): unknown => intruder.subscribe(subject, { callback: () => undefined });
    expect(await deniedOf(subscribe)).toEqual([`subscription ${subject}`]);
  });

  test("may send and hear frames", async () => {
    expect(
      await deniedOf(() => {
        intruder.subscribe("bitfleet.x.me", { callback: () => undefined });
        intruder.publish("bitfleet.x.somebody");
      }),
    ).toEqual([]);
  });

  test("open no records, and are told which subject is not theirs", async () => {
    expect(await failureOf(openRecords(as(users.worker)))).toMatch(
      /^NATS at \S+ does not let the user "worker" subscribe to _INBOX\.\S+$/,
    );
  });
});

test("the coordinator's credentials can delete no stream, and purge all but the lock", async () => {
  const connection = await connect({
    servers: url,
    user: "coordinator",
    pass: users.coordinator.secret,
  });
  closers.push(() => connection.close());
  const { streams } = await connection.jetstreamManager();
  for (const refused of [
    streams.delete("KV_bitfleet_jobs"),
    streams.delete("bitfleet_logs"),
    streams.purge("KV_bitfleet_lock"),
  ])
    await expect(refused).rejects.toThrow(/permissions violation/i);
  for (const stream of ["KV_bitfleet_jobs", "bitfleet_logs"]) {
    const { success } = await streams.purge(stream, { filter: "none" });
    expect(success).toBe(true);
  }
});

test("a link for frames with rights at other subjects fails at once, and says at which", async () => {
  const failure = await failureOf(
    connectFrames({ ...as(users.coordinator), ...silent, address: "a" }),
  );
  expect(failure).toMatch(
    `NATS at ${url} does not let the user "coordinator" subscribe to bitfleet.x.a`,
  );
});

test.each<[string, NatsUser, string]>([
  [
    "an unknown user",
    { user: "nobody", secret: "secret" },
    'refuses the user "nobody" or its password',
  ],
  [
    "a wrong password",
    { ...users.worker, secret: "wrong" },
    'refuses the user "worker" or its pass',
  ],
  [
    "nobody in particular",
    { user: "", secret: "" },
    "asks for a user or a token, and none was given",
  ],
])("%s gets in nowhere, and is told so", async (_, user, sentence) => {
  expect(await failureOf(openRecords(as(user)))).toContain(`NATS at ${url} ${sentence}`);
  const link = connectFrames({ ...as(user), ...silent, address: "a" });
  expect(await failureOf(link)).toContain(`NATS at ${url} ${sentence}`);
});

describe("on a server whose operator has forgotten a right", () => {
  const login = (): NatsUser => users.coordinator;
  const allowing = (subjects: string): string => `authorization { users: [{
    user: coordinator, password: "the-coordinators", permissions: { publish: [${subjects}] } }] }`;

  test("the coordinator says at its start which subject it lacks", async () => {
    const authorization = allowing('"$JS.API.>", "$KV.>"');
    const server = await NatsProcess.start({ authorization });
    closers.push(() => server.remove());
    expect(await failureOf(openRecords({ url: server.url, login }))).toBe(
      `NATS at ${server.url} does not let the user "coordinator" publish to bitfleet.logs.right`,
    );
  });

  test("a link that may not send is refused; one that loses the right closes with the reason", async () => {
    const server = await NatsProcess.start({ authorization: allowing('"$KV.>"') });
    closers.push(() => server.remove());
    const options = { url: server.url, login, address: "a" };
    const reason = `NATS at ${server.url} does not let the user "coordinator" publish to bitfleet.x.a`;
    expect(await failureOf(connectFrames({ ...silent, ...options }))).toBe(reason);
    const statuses: LinkStatus[] = [];
    const onStatus = (status: LinkStatus): unknown => statuses.push(status);
    await server.kill();
    server.authorize(allowing('">"'));
    await server.resume();
    const link = await connectFrames({ ...silent, ...options, onStatus });
    closers.push(() => link.close());
    await server.kill();
    server.authorize(allowing('"$KV.>"'));
    await server.resume();
    await until("it is back", () => link.isConnected && statuses.length > 1);
    link.send("a", bytes("frame"));
    await until("it has closed", () => statuses.some(({ kind }) => kind === "closed"));
    expect(statuses.at(-1)).toEqual({ kind: "closed", reason });
  });
});
