import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { connect } from "../../src/client/client.js";
import { incarnationOf } from "../../src/wire/incarnation.js";
import { openSession } from "../../src/link/grpcClient.js";
import type { SessionClient } from "../../src/link/service.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { NatsProcess } from "../contract/natsProcess.js";
import { anyPort } from "../../src/process/port.js";
import { RunningProcess, until } from "../support/fleetProcesses.js";
import { ScriptedWorker } from "../support/scriptedWorker.js";

let folder: string;
let cleanups: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-test-"));
});

afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
  cleanups = [];
  await rm(folder, { recursive: true, force: true });
});

interface Ports {
  readonly port: number;
  readonly httpPort: number;
}

/** A coordinator with a home of its own, unless the environment says otherwise. */
async function coordinator(
  environment: Readonly<Record<string, string>> = {},
): Promise<Ports & { readonly process: RunningProcess }> {
  const ports = { port: await anyPort(), httpPort: await anyPort() };
  const process = new RunningProcess("coordinator/main.js", [], {
    BITFLEET_HOME: join(folder, "home"),
    BITFLEET_PORT: String(ports.port),
    BITFLEET_HTTP_PORT: String(ports.httpPort),
    ...environment,
  });
  cleanups.push(() => process.stop());
  return { ...ports, process };
}

const serves = (process: RunningProcess): Promise<void> =>
  until("it serves", () => process.output.includes('"serving"'));

async function get(port: number, path: string, token?: string): Promise<readonly [number, string]> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
  return [response.status, await response.text()];
}

/** What it wrote but for its log. */
function sentences(process: RunningProcess): readonly string[] {
  return process.output.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
}

test("a port in use is refused by name, with exit code 1", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  cleanups.push(() => holder.close());
  await until("it listens", () => holder.listening);
  const address = holder.address();
  const port = String(typeof address === "object" ? address?.port : "");
  for (const setting of ["BITFLEET_PORT", "BITFLEET_HTTP_PORT"]) {
    const { process } = await coordinator({ [setting]: port });
    expect(await process.ended).toEqual({ code: 1, signal: null });
    expect(sentences(process)).toEqual([expect.stringContaining(port)]);
    expect(sentences(process)[0]).toContain(setting);
  }
});

test("without NATS at NATS_URL it soon says so and exits with 1", async () => {
  const url = `nats://127.0.0.1:${await anyPort()}`;
  const startedMs = performance.now();
  const { process } = await coordinator({ NATS_URL: url });
  expect((await process.ended).code).toBe(1);
  expect(sentences(process)).toEqual([`cannot reach NATS at ${url}: connection refused`]);
  expect(performance.now() - startedMs).toBeLessThan(15_000);
}, 40_000);

test("wrong settings are refused in a sentence, with exit code 2", async () => {
  const cases: readonly (readonly [Readonly<Record<string, string>>, string])[] = [
    [{ BITFLEET_PORT: "70000" }, 'BITFLEET_PORT is "70000"'],
    [{ BITFLEET_HOST: "0.0.0.0" }, "--token-file (BITFLEET_TOKEN_FILE) must name"],
    [{ BITFLEET_TOKEN_FILE: join(folder, "none") }, join(folder, "none")],
    [{ NATS_URL: "http://127.0.0.1" }, "NATS_URL must be"],
    [{ LOG_LEVEL: "loud" }, 'LOG_LEVEL is "loud"'],
  ];
  for (const [environment, sentence] of cases) {
    const { process } = await coordinator(environment);
    expect((await process.ended).code).toBe(2);
    expect(sentences(process)).toEqual([expect.stringContaining(sentence)]);
  }
}, 60_000);

test("a second coordinator on the same home is refused", async () => {
  const first = await coordinator();
  await serves(first.process);
  const second = await coordinator();
  expect((await second.process.ended).code).toBe(1);
  expect(sentences(second.process)[0]).toContain(
    `another coordinator runs on ${join(folder, "home")}`,
  );
});

test("off loopback nobody gets in without the token: no client, no worker, no reader of /status, no NATS client", async () => {
  const token = "a-token-of-the-fleet";
  await writeFile(join(folder, "token"), `${token}\n`, { mode: 0o600 });
  const { process, port, httpPort } = await coordinator({
    BITFLEET_HOST: "0.0.0.0",
    BITFLEET_TOKEN_FILE: join(folder, "token"),
  });
  await serves(process);
  const address = `127.0.0.1:${port}`;
  const store = await FolderStore.open(join(folder, "home", "store"));
  const client = connect({ address, token });
  const stranger = connect({ address, token: "some-other-token" });
  cleanups.push(
    () => client.close(),
    () => stranger.close(),
  );
  await expect(stranger.jobs()).rejects.toThrow(/token/);
  expect(await client.jobs()).toEqual([]);

  const intruder = new ScriptedWorker({ id: "intruder", address, store, token: "wrong-token" });
  const worker = new ScriptedWorker({ id: "worker", address, store, token });
  cleanups.push(
    () => intruder.kill(),
    () => worker.kill(),
  );
  await until("the worker is welcome", () => worker.heard.length > 0);
  await until("the intruder is refused", () => intruder.ends.some(({ refused }) => refused));
  expect(intruder.heard).toEqual([]);
  expect((await client.workers()).map(({ id }) => id)).toEqual(["worker"]);

  expect((await get(httpPort, "/healthz"))[0]).toBe(200);
  expect((await get(httpPort, "/status"))[0]).toBe(401);
  expect((await get(httpPort, "/status", "some-other-token"))[0]).toBe(401);
  const [code, body] = await get(httpPort, "/status", token);
  expect(code).toBe(200);
  expect(JSON.parse(body)).toMatchObject({ ready: true, term: 1, workers: [{ id: "worker" }] });

  // Workers get the address and a user of their own for NATS; it is open to nobody else.
  const welcome = worker.heard[0]?.command;
  const nats = welcome?.kind === "welcome" ? welcome.nats : { url: "", user: "", secret: "" };
  expect(nats.url).toMatch(/^nats:\/\/0\.0\.0\.0:\d+$/);
  expect(nats.user).toBe("worker");
  expect(nats.secret).toMatch(/^[0-9a-f]{64}$/);
  expect(process.output).not.toContain(nats.secret);
  expect(process.output).not.toContain(token);
});

test("a standby is alive but not ready, says for whom it waits, and takes over when the first is killed", async () => {
  const nats = await NatsProcess.start();
  cleanups.push(() => nats.remove());
  const first = await coordinator({ NATS_URL: nats.url });
  await serves(first.process);
  const second = await coordinator({ NATS_URL: nats.url });
  await until("it waits", () => second.process.output.includes("waiting as a standby"));
  expect((await get(second.httpPort, "/healthz"))[0]).toBe(200);
  const [code, body] = await get(second.httpPort, "/readyz");
  expect(code).toBe(503);
  expect(body).toContain("is the coordinator");
  first.process.kill("SIGKILL");
  const killedMs = performance.now();
  await serves(second.process);
  expect(performance.now() - killedMs).toBeLessThan(5000);
  expect((await get(second.httpPort, "/readyz"))[0]).toBe(200);
});

test("a coordinator that was frozen past its lease steps down when it finds itself replaced", async () => {
  const nats = await NatsProcess.start();
  cleanups.push(() => nats.remove());
  const first = await coordinator({ NATS_URL: nats.url });
  await serves(first.process);
  const second = await coordinator({ NATS_URL: nats.url });
  await until("it waits", () => second.process.output.includes("waiting as a standby"));
  first.process.kill("SIGSTOP");
  await serves(second.process);
  first.process.kill("SIGCONT");
  expect((await first.process.ended).code).toBe(1);
  expect(sentences(first.process)).toEqual([
    expect.stringContaining("steps down: another coordinator has taken over"),
  ]);
});

/** Both are over when its NATS server runs again: it was killed, or has met a full disk, and takes nothing more in. */
test.each([
  ["dies", (pid: number): unknown => globalThis.process.kill(pid, "SIGKILL")],
  [
    "cannot write",
    (pid: number): unknown => execFileSync("prlimit", ["--pid", `${pid}`, "--fsize=1000:"]),
  ],
] as const)(
  "its own NATS server is started again when it %s, and a job goes on",
  async (_, harm) => {
    const { process, port } = await coordinator();
    await serves(process);
    const store = await FolderStore.open(join(folder, "home", "store"));
    const address = `127.0.0.1:${port}`;
    const worker = new ScriptedWorker({ id: "w1", address, store, shardMs: 10 });
    const client = connect({ address });
    cleanups.push(
      () => worker.kill(),
      () => client.close(),
    );
    await until("the worker is welcome", () => worker.heard.length > 0);
    await client.submit({
      ...{ name: "steady", model: "1-1-1-1x0.5", data: "/data", steps: 40 },
      ...{ batch: 8, shards: 4, resize: 36, crop: 32, rate: 0.03 },
    });
    await until("step 3", () => worker.step >= 3);
    const natsPort = (await readFile(join(folder, "home", "nats", "port"), "utf8")).trim();
    const configuration = join(folder, "home", "nats", "nats.conf");
    for (const pid of await pidsOf(configuration)) harm(pid);
    for await (const status of client.watch("steady"))
      if (status.state === "done") expect(status.step).toBe(40);
    expect(process.output).toContain("the NATS server runs again");
    expect((await readFile(join(folder, "home", "nats", "port"), "utf8")).trim()).toBe(natsPort);
    const numbers: number[] = [];
    for await (const { sequence } of client.logs("steady")) numbers.push(sequence);
    expect(numbers).toEqual(numbers.map((_number, i) => i + 1));
    expect(numbers.length).toBeGreaterThan(40);
  },
  40_000,
);

test("a worker that has obeyed a higher term makes the coordinator begin anew above it", async () => {
  const { process, port } = await coordinator();
  await serves(process);
  const terms: number[] = [];
  const ends: string[] = [];
  const join = (): SessionClient => {
    const session = openSession({
      address: `127.0.0.1:${port}`,
      token: "",
      onCommand: (term) => terms.push(term),
      onClosed: (reason) => ends.push(reason),
    });
    session.send({
      ...{
        kind: "hello",
        workerId: "w",
        incarnation: incarnationOf("i"),
        secret: "i",
        host: "h",
        pid: 1,
        device: "d",
      },
      ...{ gpu: false, numerics: "n", term: 7, held: undefined },
    });
    cleanups.push(() => session.close());
    return session;
  };
  join();
  await until("it is sent away", () => ends.length === 1);
  expect(ends[0]).toContain("begins term 8");
  join();
  await until("it is welcome", () => terms.length > 0);
  expect(terms[0]).toBe(8);
});

test("told to stop, it ends within seconds with 0, takes its NATS server along, and the next one serves at once", async () => {
  const first = await coordinator();
  await serves(first.process);
  const stoppedMs = performance.now();
  first.process.kill("SIGTERM");
  expect(await first.process.ended).toEqual({ code: 0, signal: null });
  expect(performance.now() - stoppedMs).toBeLessThan(5000);
  expect(await pidsOf(join(folder, "home", "nats", "nats.conf"))).toEqual([]);
  const second = await coordinator();
  await serves(second.process);
  expect(second.process.output).not.toContain("standby");
});

/** The nats-servers that run with this configuration; not the shells that watch over them. */
async function pidsOf(configuration: string): Promise<readonly number[]> {
  const pids: number[] = [];
  for (const entry of await readdir("/proc")) {
    const line = await readFile(`/proc/${entry}/cmdline`, "utf8").catch(() => "");
    const [program = "", ...args] = line.split("\0");
    if (program.endsWith("nats-server") && args.includes(configuration)) pids.push(Number(entry));
  }
  return pids;
}
