import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";

import { openRecords, type RecordStore } from "../../src/link/jetstream.js";
import { anyPort } from "../../src/process/port.js";
import { NatsProcess } from "./natsProcess.js";

const never = new AbortController().signal;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined): string => new TextDecoder().decode(value);

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function nats(authorization = ""): Promise<NatsProcess> {
  const server = await NatsProcess.start({ authorization });
  cleanups.push(() => server.remove());
  return server;
}

async function open({ url }: NatsProcess, token = ""): Promise<RecordStore> {
  const store = await openRecords({ url, login: () => ({ user: "", secret: token }) });
  cleanups.push(() => store.close());
  return store;
}

test("a write replaces exactly the version that it names, and no other writer's", async () => {
  const server = await nats();
  const [first, second] = [await open(server), await open(server)];
  const created = await first.jobs.write("a", bytes("one"), 0, never);
  expect(created).toBeGreaterThan(0);
  expect(await second.jobs.write("a", bytes("two"), 0, never)).toBeUndefined();
  expect(text((await second.jobs.read("a"))?.value)).toBe("one");
  const replaced = await second.jobs.write("a", bytes("two"), created ?? 0, never);
  expect(replaced).toBeGreaterThan(created ?? 0);
  expect(await first.jobs.write("a", bytes("three"), created ?? 0, never)).toBeUndefined();
  const entry = await first.jobs.read("a");
  expect([text(entry?.value), entry?.revision]).toEqual(["two", replaced]);
});

test("what was not written reads as nothing, and keys lists what was", async () => {
  const store = await open(await nats());
  expect(await store.jobs.keys()).toEqual([]);
  expect(await store.jobs.read("a")).toBeUndefined();
  await store.jobs.write("b", bytes("1"), 0, never);
  await store.jobs.write("a", bytes("1"), 0, never);
  await store.lock.write("c", bytes("1"), 0, never);
  expect([...(await store.jobs.keys())].sort()).toEqual(["a", "b"]);
});

test("a key that would reach other subjects is refused", async () => {
  const store = await open(await nats());
  for (const key of ["a.b", "*", ">", "", "a b"])
    await expect(store.jobs.read(key)).rejects.toThrow("cannot name a record");
});

test("a write begun while NATS is away lands once when it is back, and the trouble is told once", async () => {
  const server = await nats();
  const told: (string | undefined)[] = [];
  const store = await openRecords(
    { url: server.url },
    { onTrouble: (problem) => told.push(problem) },
  );
  cleanups.push(() => store.close());
  const first = await store.jobs.write("a", bytes("one"), 0, never);
  await server.kill();
  let settled = false;
  const writing = store.jobs.write("a", bytes("two"), first ?? 0, never).then((revision) => {
    settled = true;
    return revision;
  });
  await sleep(600);
  expect(settled).toBe(false);
  await server.resume();
  expect(await writing).toBe((first ?? 0) + 1);
  expect(text((await store.jobs.read("a"))?.value)).toBe("two");
  expect(told).toEqual([expect.stringContaining("NATS"), undefined]);
});

test("a write whose answer was lost is recognised as ours, not as another writer's", async () => {
  const server = await nats();
  const store = await open(server);
  const first = await store.jobs.write("a", bytes("one"), 0, never);
  // The frozen server reads the write from its socket buffer once it goes on, after the client has given up on the answer.
  server.pause();
  const writing = store.jobs.write("a", bytes("two"), first ?? 0, never);
  await sleep(2600);
  server.unpause();
  expect(await writing).toBe((first ?? 0) + 1);
  expect(text((await store.jobs.read("a"))?.value)).toBe("two");
});

test("a write that waits for NATS ends when it is aborted", async () => {
  const server = await nats();
  const store = await open(server);
  await server.kill();
  const abort = AbortSignal.timeout(300);
  await expect(store.jobs.write("a", bytes("one"), 0, abort)).rejects.toThrow();
});

test("without NATS the refusal names the address and comes within 5 seconds", async () => {
  const url = `nats://127.0.0.1:${await anyPort()}`;
  const startedMs = performance.now();
  await expect(openRecords({ url })).rejects.toThrow(`cannot reach NATS at ${url}`);
  expect(performance.now() - startedMs).toBeLessThan(5000);
});

test("a wrong token is refused by name and at once", async () => {
  const server = await nats('authorization { token: "a-right-token" }');
  await open(server, "a-right-token");
  await expect(open(server, "a-wrong-token")).rejects.toThrow(
    `NATS at ${server.url} refuses the token`,
  );
});

test("lines come back in order from any position, and each topic sees only its own", async () => {
  const store = await open(await nats());
  const positions: number[] = [];
  for (let i = 0; i < 30; i++) {
    const after = positions.at(-1) ?? 0;
    positions.push((await store.logs.append("a", bytes(`a${i}`), after, never)) ?? -1);
    if (i % 3 === 0) await store.logs.append(`b${i}`, bytes("b"), 0, never);
  }
  const { lines, end } = await store.logs.read("a", 1, 100);
  expect(lines.map(({ data }) => text(data))).toEqual(
    Array.from({ length: 30 }, (_, i) => `a${i}`),
  );
  expect(lines.map(({ position }) => position)).toEqual(positions);
  expect(end).toBe(true);
  const part = await store.logs.read("a", (positions[9] ?? 0) + 1, 5);
  expect(part.lines.map(({ data }) => text(data))).toEqual(["a10", "a11", "a12", "a13", "a14"]);
  expect(part.end).toBe(false);
  expect(await store.logs.read("c", 1, 5)).toEqual({ lines: [], end: true });
  expect((await store.logs.last("a"))?.position).toBe(positions.at(-1));
});

test("a line behind a stale position is refused, so that two writers cannot both number it", async () => {
  const store = await open(await nats());
  const first = await store.logs.append("a", bytes("1"), 0, never);
  expect(await store.logs.append("a", bytes("other"), 0, never)).toBeUndefined();
  expect(await store.logs.append("a", bytes("2"), first ?? 0, never)).toBeGreaterThan(first ?? 0);
});
