import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { connect, type BitfleetClient } from "../../src/client/client.js";
import { roles, type Role } from "../../src/job/roles.js";
import { Channel } from "../../src/link/channel.js";
import { openSession } from "../../src/link/grpcClient.js";
import { trainingMethods } from "../../src/link/methods.js";
import type { WorkerEvent } from "../../src/control/message.js";
import { incarnationOf } from "../../src/wire/incarnation.js";
import { workerEvent } from "../../src/wire/workerEvent.js";
import type { RunningServer, ServerOptions, WorkerSession } from "../../src/link/service.js";
import { TokenBook } from "../../src/process/tokenBook.js";
import { tokenDigest, writeTokens } from "../../src/process/tokensFile.js";
import type { JobStatus } from "../../src/wire/training.js";
import { addressOf, jobStatus, serve, settings } from "./grpcFixture.js";
import { failureOf } from "../support/failureOf.js";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const tokenOf = (role: Role): string => `the-token-of-a-${role}`;

/** As a tool would: the new file takes the place of the old one at once. */
function write(file: string, known: readonly Role[], as: (role: Role) => Role = (r) => r): void {
  const entries = known.map((role) => ({
    name: `my-${role}`,
    role: as(role),
    digest: tokenDigest(tokenOf(role)),
  }));
  writeFileSync(`${file}.new`, writeTokens(entries));
  renameSync(`${file}.new`, file);
}

interface Guarded {
  readonly server: RunningServer;
  readonly file: string;
  readonly warnings: string[];
  readonly sessions: WorkerSession[];
}

async function guarded(training: Partial<ServerOptions["training"]>): Promise<Guarded> {
  const folder = mkdtempSync(join(tmpdir(), "bitfleet-roles-"));
  const file = join(folder, "tokens.json");
  write(file, roles);
  const warnings: string[] = [];
  const sessions: WorkerSession[] = [];
  const warn = (sentence: string): number => warnings.push(sentence);
  const callers = TokenBook.open({ tokenFile: undefined, tokensFile: file, warn });
  const onSession = (session: WorkerSession): number => sessions.push(session);
  const server = await serve(training, { callers, onSession });
  closers.push(
    () => rmSync(folder, { recursive: true }),
    () => callers.close(),
    () => server.close("over"),
  );
  return { server, file, warnings, sessions };
}

function clientOf({ server }: Guarded, role: Role): BitfleetClient {
  const client = connect({ address: addressOf(server), token: tokenOf(role) });
  closers.push(() => client.close());
  return client;
}

function channelOf({ server }: Guarded, role: Role): Channel {
  const channel = new Channel(addressOf(server), tokenOf(role));
  closers.push(() => channel.close());
  return channel;
}

function sessionOf({ server }: Guarded, role: Role): [string, boolean][] {
  const ends: [string, boolean][] = [];
  const session = openSession({
    address: addressOf(server),
    token: tokenOf(role),
    onCommand: () => undefined,
    onClosed: (reason, refused) => ends.push([reason, refused]),
  });
  closers.push(() => session.close());
  return ends;
}

const dataSet = { name: "digits", classes: 2, pictures: 2, bytes: 20, ignoredFiles: 0 };

const training = {
  preview: async function* () {
    yield* [];
  },
  submit: async () => jobStatus(),
  listJobs: async () => [],
  getJob: async () => jobStatus(),
  watchJob: async function* () {
    yield jobStatus({ state: "done" });
  },
  readLogs: async function* () {
    yield* [];
  },
  cancelJob: async () => jobStatus(),
  resumeJob: async () => jobStatus(),
  removeJob: async () => 0,
  listWorkers: async () => [],
  drainWorker: async () => {
    throw new Error("not reached by those who may not");
  },
  scaleWorkers: async (workers: number) => workers,
  exportWeights: async function* () {
    yield* [];
  },
  predict: async () => [],
  missingBlobs: async () => [],
  pushData: async () => 0,
  commitData: async () => ({ missing: 0, set: dataSet }),
  listData: async () => [],
  removeData: async () => 0,
};

async function all(items: AsyncIterable<unknown>): Promise<void> {
  for await (const item of items) expect(item).toBeDefined();
}

async function* none(): AsyncGenerator<never> {
  yield* [];
}

const file = join(tmpdir(), "never-written.npz");
const callMs = 10_000;
const calls: Readonly<
  Record<string, (client: BitfleetClient, channel: Channel) => Promise<unknown>>
> = {
  ListJobs: (client) => client.jobs(),
  GetJob: (client) => client.job("digits"),
  WatchJob: (client) => all(client.watch("digits")),
  ReadLogs: (client) => all(client.logs("digits")),
  ListWorkers: (client) => client.workers(),
  Preview: (client) => all(client.preview(settings)),
  Submit: (client) => client.submit(settings),
  CancelJob: (client) => client.cancel("digits"),
  RemoveJob: (client) => client.removeJob("digits"),
  ResumeJob: (client) => client.resume("digits"),
  ExportWeights: (client) => client.exportWeights("digits", file, { force: true }),
  Predict: (client) => client.predict("digits", [import.meta.filename]),
  MissingBlobs: (_, channel) => channel.unary(trainingMethods.missingBlobs, [], callMs),
  PushData: (_, channel) => channel.clientStream(trainingMethods.pushData, none(), callMs),
  CommitData: (_, channel) =>
    channel.unary(
      trainingMethods.commitData,
      { name: "digits", pages: [], ignoredFiles: 0 },
      callMs,
    ),
  ListData: (client) => client.dataSets(),
  RemoveData: (client) => client.removeData("digits"),
  DrainWorker: (client) => client.drain("worker-1"),
  ScaleWorkers: (client) => client.scale(2),
};
const reading = ["ListJobs", "GetJob", "WatchJob", "ReadLogs", "ListWorkers", "ListData"];
const ruling = ["DrainWorker", "ScaleWorkers"];
const needs = (call: string): Role =>
  reading.includes(call) ? "viewer" : ruling.includes(call) ? "admin" : "submitter";
const allowed: Readonly<Record<Role, readonly Role[]>> = {
  viewer: ["viewer", "submitter", "admin"],
  submitter: ["submitter", "admin"],
  worker: ["worker", "admin"],
  admin: ["admin"],
};

describe.each(roles)("a token with the role %s", (role) => {
  test.each(Object.keys(calls))("%s", async (call) => {
    const fleet = await guarded(training);
    const outcome = await failureOf(
      calls[call]?.(clientOf(fleet, role), channelOf(fleet, role)) ?? Promise.resolve(),
    );
    const needed = needs(call);
    const refusal = `the coordinator at ${addressOf(fleet.server)} refused: the token "my-${role}" has the role ${role}, but ${call} needs the role ${needed}`;
    if (allowed[needed].includes(role)) expect(outcome).not.toContain("refused");
    else expect(outcome).toBe(refusal);
  });

  test("Session", async () => {
    const fleet = await guarded(training);
    const ends = sessionOf(fleet, role);
    if (allowed.worker.includes(role)) {
      await expect.poll(() => fleet.sessions.length).toBe(1);
    } else {
      await expect.poll(() => ends.length).toBe(1);
      const why = `the token "my-${role}" has the role ${role}, but Session needs the role worker`;
      expect(ends).toEqual([
        [`the coordinator at ${addressOf(fleet.server)} refused: ${why}`, true],
      ]);
      expect(fleet.sessions).toEqual([]);
    }
  });
});

describe("a worker's stream", () => {
  const helloOf = (workerId: string, secret: string, incarnation = incarnationOf(secret)) => ({
    ...({ kind: "hello", workerId, incarnation, secret, host: "h", pid: 1, device: "d" } as const),
    ...{ gpu: false, numerics: "n", term: 0, held: undefined },
  });
  const said = async (fleet: Guarded, hello: WorkerEvent) => {
    const heard: WorkerEvent[] = [];
    const ends: [string, boolean][] = [];
    const session = openSession({
      address: addressOf(fleet.server),
      token: tokenOf("worker"),
      onCommand: () => undefined,
      onClosed: (reason, refused) => ends.push([reason, refused]),
    });
    closers.push(() => session.close());
    session.send(hello);
    await expect.poll(() => fleet.sessions.length).toBe(1);
    fleet.sessions.pop()?.onEvent((event) => heard.push(event));
    await expect.poll(() => heard.length + ends.length).toBe(1);
    return { heard, ends };
  };

  test("tells whose token it came with, and from where", async () => {
    const fleet = await guarded(training);
    sessionOf(fleet, "worker");
    await expect.poll(() => fleet.sessions.length).toBe(1);
    expect(fleet.sessions[0]?.origin).toEqual({ token: "my-worker", address: "127.0.0.1" });
  });

  test("is not that of a process whose secret it does not have", async () => {
    const fleet = await guarded(training);
    // An honest sender refuses it itself.
    vi.spyOn(workerEvent, "encode").mockImplementationOnce((event) =>
      workerEvent.encodeUnchecked(event),
    );
    const { heard, ends } = await said(fleet, helloOf("w", "mine", incarnationOf("another's")));
    expect(heard).toEqual([]);
    expect(ends[0]?.[0]).toContain("which is another's");
  });

  test("is not that of a worker that another token is for", async () => {
    const fleet = await guarded(training);
    const entries = roles.map((role) => ({
      ...{ name: `my-${role}`, role, digest: tokenDigest(tokenOf(role)) },
      ...(role === "worker" && { workers: ["gpu-*"] }),
    }));
    writeFileSync(fleet.file, writeTokens(entries));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const { ends } = await said(fleet, helloOf("cpu-1", "a"));
    const why = 'the token "my-worker" is for workers gpu-*, not for cpu-1';
    expect(ends).toEqual([[`the coordinator at ${addressOf(fleet.server)} refused: ${why}`, true]]);
    expect((await said(fleet, helloOf("gpu-1", "b"))).heard).toMatchObject([{ workerId: "gpu-1" }]);
  });
});

describe("revoking, without a restart", () => {
  const endless = {
    ...training,
    watchJob: async function* (): AsyncGenerator<JobStatus> {
      yield jobStatus();
      await new Promise(() => undefined);
    },
  };

  test("ends the streams and the session of a token, and no other one's", async () => {
    const fleet = await guarded(endless);
    const watches = (["viewer", "submitter"] as const).map((role) => {
      const seen: JobStatus[] = [];
      const watch = async (): Promise<void> => {
        for await (const status of clientOf(fleet, role).watch("digits")) seen.push(status);
      };
      return { seen, ended: failureOf(watch()) };
    });
    const ends = sessionOf(fleet, "worker");
    const stays = sessionOf(fleet, "admin");
    await expect.poll(() => fleet.sessions.length).toBe(2);
    await expect.poll(() => watches.every(({ seen }) => seen.length === 1)).toBe(true);

    write(fleet.file, ["submitter", "admin"]);
    const at = `the coordinator at ${addressOf(fleet.server)} refused the token`;
    expect(await watches[0]?.ended).toBe(`${at}: it was revoked`);
    await expect.poll(() => ends).toEqual([[`${at}: it was revoked`, true]]);
    expect(await failureOf(clientOf(fleet, "viewer").jobs())).toBe(
      `${at}: it is not the right one`,
    );
    const watch = watches[1]?.ended;
    expect(await Promise.race([watch, clientOf(fleet, "submitter").jobs()])).toEqual([]);
    expect(stays).toEqual([]);
  });

  test("a role taken away ends what it allowed", async () => {
    const fleet = await guarded(endless);
    const ends = sessionOf(fleet, "worker");
    await expect.poll(() => fleet.sessions.length).toBe(1);
    write(fleet.file, roles, () => "viewer");
    await expect
      .poll(() => ends.map(([why]) => why))
      .toEqual([
        expect.stringContaining(
          'the token "my-worker" has the role viewer, but Session needs the role worker',
        ),
      ]);
  });

  test("a file that was deleted is one without tokens", { timeout: 60_000 }, async () => {
    const fleet = await guarded(endless);
    const ends = sessionOf(fleet, "worker");
    await expect.poll(() => fleet.sessions.length).toBe(1);
    rmSync(fleet.file);
    await expect.poll(() => fleet.warnings.length, { timeout: 10_000 }).toBe(1);
    // It may be back at once, as where an editor writes it anew.
    expect(await clientOf(fleet, "viewer").jobs()).toEqual([]);
    await expect.poll(() => ends.length, { timeout: 30_000 }).toBe(1);
    expect(ends[0]?.[0]).toContain("it was revoked");
    expect(await failureOf(clientOf(fleet, "viewer").jobs())).toContain("it is not the right one");
    expect(fleet.warnings[1]).toBe(`${fleet.file} is gone: nobody is known by its tokens any more`);
    write(fleet.file, roles);
    await expect
      .poll(() => failureOf(clientOf(fleet, "viewer").jobs()), { timeout: 10_000 })
      .not.toContain("refused");
  });

  test("a file that cannot be understood changes nothing and is warned of", async () => {
    const fleet = await guarded(endless);
    writeFileSync(fleet.file, '{"tokens": [{"name": "my-viewer"}]}');
    await expect
      .poll(() => fleet.warnings)
      .toEqual([
        `${fleet.file}: the role of "my-viewer" must be one of viewer, submitter, worker, admin; the tokens known before stay`,
      ]);
    expect(await clientOf(fleet, "viewer").jobs()).toEqual([]);
  });
});
