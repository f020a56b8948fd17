import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connect, type BitfleetClient } from "../../src/client/client.js";
import { anyPort } from "../../src/process/port.js";
import { RunningProcess, until } from "../support/fleetProcesses.js";
import { isAlive } from "../support/isAlive.js";

let folder: string;
let port: number;
let up: RunningProcess;
let client: BitfleetClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-up-"));
  port = await anyPort();
  up = await start(join(folder, "home"), port);
  client = connect({ address: `127.0.0.1:${port}` });
  await until("a worker", async () => (await incarnations()).length === 1);
});

afterAll(async () => {
  client.close();
  await up.stop();
  await rm(folder, { recursive: true, force: true });
});

async function start(home: string, at: number): Promise<RunningProcess> {
  const ports = ["--port", String(at), "--http-port", String(await anyPort())];
  const flags = ["up", "--workers", "1", "--home", home, ...ports];
  return new RunningProcess("src/cli/main.js", flags, { NATS_URL: "" });
}

async function incarnations(): Promise<readonly string[]> {
  const workers = await client.workers().catch(() => []);
  return workers.filter(({ state }) => state === "idle").map(({ incarnation }) => incarnation);
}

/** The processes that this one has started, with their command lines. */
async function childrenOf(pid: number): Promise<ReadonlyMap<number, string>> {
  const ids = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  const entries = ids
    .split(" ")
    .filter((id) => id.trim() !== "")
    .map(async (id) => [Number(id), await readFile(`/proc/${id}/cmdline`, "utf8")] as const);
  return new Map(await Promise.all(entries));
}

async function childOf(pid: number, part: string): Promise<number> {
  const children = [...(await childrenOf(pid))];
  const found = children.find(([, line]) => line.includes(join(part, "main.js")));
  if (found === undefined) throw new Error(`no ${part} among ${JSON.stringify(children)}`);
  return found[0];
}

test("a worker, then the coordinator, that is killed is started again", async () => {
  const [before] = await incarnations();
  process.kill(await childOf(up.pid, "worker"), "SIGKILL");
  await until("another life of the worker", async () => {
    const now = await incarnations();
    return now.length === 1 && now[0] !== before;
  });
  process.kill(await childOf(up.pid, "coordinator"), "SIGKILL");
  await until("the fleet again", async () => (await incarnations()).length === 1);
  expect(up.output).toMatch(/worker-1 was ended by SIGKILL; starting it again in 0\.5 s/);
  expect(up.output).toMatch(/the coordinator was ended by SIGKILL; starting it again in 0\.5 s/);
});

test("a second fleet on the same port shows the coordinator's sentence and ends with its code", async () => {
  const second = await start(join(folder, "other-home"), port);
  const { code } = await second.ended;
  expect(second.output).toMatch(new RegExp(`${port}.* is in use by another process`));
  expect(second.output).not.toMatch(/^\s+at /m);
  expect(code).toBe(1);
  expect(await incarnations()).toHaveLength(1);
});

test("a fleet whose output nobody reads any more goes on", async () => {
  const at = await anyPort();
  const unread = await start(join(folder, "unread-home"), at);
  unread.closeOutput();
  const other = connect({ address: `127.0.0.1:${at}` });
  await until("its worker", async () => {
    const workers = await other.workers().catch(() => []);
    return workers.some(({ state }) => state === "idle");
  });
  other.close();
  expect(isAlive(unread.pid)).toBe(true);
  await unread.stop();
}, 60_000);

test("SIGTERM stops the workers first, then the coordinator, and leaves nothing behind", async () => {
  const coordinator = await childOf(up.pid, "coordinator");
  const pids = [...(await childrenOf(up.pid)).keys(), ...(await childrenOf(coordinator)).keys()];
  expect(pids.length).toBeGreaterThanOrEqual(3);
  up.kill("SIGTERM");
  expect((await up.ended).code).toBe(0);
  expect(pids.filter(isAlive)).toEqual([]);
  const home = join(folder, "home", "logs");
  expect(await readFile(join(home, "worker-1.log"), "utf8")).toContain("left the fleet");
  await expect(client.workers()).rejects.toThrow(
    `cannot reach the coordinator at 127.0.0.1:${port}`,
  );
});
