import { connect, NatsError } from "nats";
import { afterEach, expect, test, vi } from "vitest";

import { Records } from "../../coordinator/records.js";
import { WireError } from "../../src/job/problem.js";
import {
  openRecords,
  type RecordStore,
  type RecordStoreOptions,
} from "../../src/link/jetstream.js";
import { jetstreamProblem } from "../../src/link/jetstreamProblems.js";
import { jobRecord } from "../../src/wire/jobRecord.js";
import { failureOf } from "../support/failureOf.js";
import { jobRecordOf } from "./jobRecordOf.js";
import { NatsProcess } from "./natsProcess.js";

/** NATS servers and accounts that let less through, or have less room, than one of our own. */

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function nats(configuration: string): Promise<NatsProcess> {
  const server = await NatsProcess.start({ authorization: configuration });
  cleanups.push(() => server.remove());
  return server;
}

async function open(
  { url }: NatsProcess,
  options: RecordStoreOptions & { readonly user?: string } = {},
): Promise<RecordStore> {
  const { user = "" } = options;
  const store = await openRecords({ url, login: () => ({ user, secret: user }) }, options);
  cleanups.push(() => store.close());
  return store;
}

const account = (limits: string): string =>
  `accounts { A { jetstream { ${limits} }, users: [{ user: a, password: a }] }, S { users: [{ user: s, password: s }] } }
system_account: S`;

test("a server that lets less through than a record may have is refused by name and bound", async () => {
  const server = await nats("max_payload: 65536");
  expect(await failureOf(open(server))).toBe(
    `NATS at ${server.url} lets messages of 65536 bytes through, but at least 1001024 are needed for the records of jobs: raise its max_payload`,
  );
});

test("what a server will never take is refused once, and costs that job alone", async () => {
  const server = await nats("");
  const troubles: unknown[] = [];
  const store = await open(server, { onTrouble: (problem) => troubles.push(problem) });
  const connection = await connect({ servers: server.url });
  cleanups.push(() => connection.close());
  const { streams } = await connection.jetstreamManager();
  for (const name of ["KV_bitfleet_jobs", "bitfleet_logs"])
    await streams.update(name, { ...(await streams.info(name)).config, max_msg_size: 4000 });
  const { signal } = new AbortController();
  const large = new Uint8Array(5000);
  await expect(store.jobs.write("a", large, 0, signal)).rejects.toThrow(WireError);
  await expect(store.logs.append("a", large, 0, signal)).rejects.toThrow("5000 bytes");

  const refused: string[] = [];
  const { records } = await Records.open({
    ...{ bucket: store.jobs, codec: jobRecord, signal },
    isHolder: () => Promise.resolve(true),
    onUnwritable: (job, problem) => refused.push(`${job}: ${problem}`),
    onConflict: (reason) => expect.fail(reason),
  });
  const members = Array.from({ length: 100 }, (_, i) => `${"w".repeat(30)}${i}`);
  records.put({ ...jobRecordOf("wide"), members });
  await records.store(jobRecordOf("small"));
  expect(refused).toEqual([expect.stringMatching(/^wide: NATS takes no message of \d+ bytes$/)]);
  expect(await store.jobs.keys()).toEqual(["small"]);
  expect(troubles).toEqual([]);
});

test("an account that wants bounds, and has less room than logs would take, gets bounded streams", async () => {
  const server = await nats(account("max_file: 1000MB, max_bytes_required: true"));
  const told: string[] = [];
  const store = await open(server, { user: "a", onBounded: (sentence) => told.push(sentence) });
  expect(told).toEqual([
    "stream KV_bitfleet_jobs may take 268435456 bytes",
    "stream KV_bitfleet_lock may take 16777216 bytes",
    "stream bitfleet_logs may take 536870912 bytes, not 1073741824, for which NATS has no room",
  ]);
  const { signal } = new AbortController();
  expect(await store.jobs.write("a", new Uint8Array(10), 0, signal)).toBeGreaterThan(0);
  expect(await store.logs.append("a", new Uint8Array(10), 0, signal)).toBeGreaterThan(0);
});

test("a small server is enough where the logs are told to be small, and one that is too small says so", async () => {
  const told: string[] = [];
  const onBounded = (sentence: string): unknown => told.push(sentence);
  const small = await nats(account("max_file: 40MB"));
  await open(small, { user: "a", onBounded, logBytesMax: 2 ** 25 });
  expect(told).toEqual([]);
  const tiny = await nats(account("max_file: 10MB"));
  expect(await failureOf(open(tiny, { user: "a" }))).toBe(
    `NATS at ${tiny.url} has no room for the records and logs of jobs, which take 16777216 bytes a stream at least: insufficient storage resources available`,
  );
});

test("a full bucket or stream is told by its name and bound with what to do, and writes go on once it may take more", async () => {
  const server = await nats("");
  const troubles: (string | undefined)[] = [];
  const store = await open(server, { onTrouble: (problem) => troubles.push(problem) });
  const connection = await connect({ servers: server.url });
  cleanups.push(() => connection.close());
  const { streams } = await connection.jetstreamManager();
  const name = "KV_bitfleet_jobs";
  const { config } = await streams.info(name);
  await streams.update(name, { ...config, max_bytes: 4000 });
  const { signal } = new AbortController();
  const written = store.jobs.write("a", new Uint8Array(5000), 0, signal);
  await vi.waitFor(() => expect(troubles).toHaveLength(1), { timeout: 30_000 });
  expect(troubles).toEqual([
    `NATS at ${server.url} does not store in ${name}: the stream is full, by its max_bytes of 4000 bytes: remove jobs that have ended, or raise max_bytes`,
  ]);
  await streams.update(name, { ...config, max_bytes: 400_000 });
  expect(await written).toBeGreaterThan(0);
  expect(troubles).toEqual([expect.any(String), undefined]);
}, 60_000);

test.each([
  [10_118, "stream is offline", "the stream is offline"],
  [10_047, "insufficient storage resources available", "no storage left for JetStream"],
  [10_077, "write /data: no space left on device", "no space left on device; a server that"],
  [10_999, "anything else", "anything else (JetStream's error 10999)"],
])("error %i of JetStream is told as what it is", (err_code, description, told) => {
  const error = new NatsError(description, "503", undefined);
  error.api_error = { code: 503, err_code, description };
  const problem = jetstreamProblem(error, { name: "bitfleet_logs" }, "nats://n:1");
  expect(problem).toContain("NATS at nats://n:1 does not store in bitfleet_logs: ");
  expect(problem).toContain(told);
  expect(problem).not.toContain("does not answer");
});
