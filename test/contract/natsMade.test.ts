import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { namedNats } from "../../coordinator/natsAccess.js";
import { runProgram } from "../../src/cli/program.js";
import { openRecords } from "../../src/link/jetstream.js";
import { connectFrames } from "../../src/link/nats.js";
import type { NatsTarget } from "../../src/link/natsConnection.js";
import { readEnvironment } from "../../src/process/environment.js";
import { natsTls } from "../../src/process/natsSettings.js";
import { failureOf } from "../support/failureOf.js";
import { sourced } from "../support/sourced.js";
import { FakeTerminal } from "../unit/fakeTerminal.js";
import { NatsProcess } from "./natsProcess.js";

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

test("a server with what init has made lets the coordinator keep records, and workers exchange frames only", async () => {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-made-"));
  closers.push(() => rm(folder, { recursive: true, force: true }));
  const made = join(folder, "fleet");
  const { signal } = new AbortController();
  const context = { terminal: new FakeTerminal(), variables: {}, signal };
  await runProgram(["init", made, "--host", "127.0.0.1", "--nats", "127.0.0.1"], context);
  const server = await NatsProcess.inside(join(made, "nats"));
  closers.push(() => server.remove());

  const NATS_URL = server.url.replace("nats:", "tls:");
  const own = { ...sourced(join(made, "coordinator", "coordinator.env"), folder), NATS_URL };
  const { nats } = readEnvironment(own);
  if (nats === undefined) throw new Error("no NATS_URL");
  const warn = (sentence: string): never => expect.fail(sentence);
  const { target, workerAccess } = namedNats(nats, natsTls(own, nats.url), warn);
  const records = await openRecords(target);
  closers.push(() => records.close());
  expect(await records.lock.write("lock", new Uint8Array([1]), 0, signal)).toBeGreaterThan(0);
  expect(await readdir(join(made, "nats"))).toContain("jetstream");

  const files = natsTls(sourced(join(made, "worker", "worker.env"), folder), workerAccess.url);
  const tls = files && { files };
  const worker: NatsTarget = { url: workerAccess.url, login: () => workerAccess, tls };
  const heard: Uint8Array[] = [];
  const onFrame = (frame: Uint8Array): unknown => heard.push(frame);
  const link = await connectFrames({
    ...worker,
    address: "a-1",
    onFrame,
    onStatus: () => undefined,
  });
  closers.push(() => link.close());
  link.send("a-1", new Uint8Array([7]));
  await expect.poll(() => heard.map((frame) => [...frame])).toEqual([[7]]);
  expect(await failureOf(openRecords(worker))).toMatch('does not let the user "worker"');

  const bare = { certificate: undefined, key: undefined, ca: files?.ca };
  expect(await failureOf(openRecords({ ...target, tls: { files: bare } }))).toMatch("certificate");
  expect(await failureOf(openRecords({ ...target, tls: undefined }))).toMatch("cannot reach NATS");
});
