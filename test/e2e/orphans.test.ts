import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { findNatsServer } from "../../src/link/natsServer.js";
import { anyPort } from "../../src/process/port.js";
import { packageRoot, toolchainFile } from "../../src/process/toolchain.js";
import { descendants } from "../support/descendants.js";
import { until } from "../support/fleetProcesses.js";
import { isAlive } from "../support/isAlive.js";
import { Mark } from "../support/marked.js";

let folder: string;
const marks: Mark[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-orphans-"));
});

afterEach(async () => {
  for (const mark of marks.splice(0)) await mark.kill();
  await rm(folder, { recursive: true, force: true });
});

/** Between them: not yet running, loading modules, at work. */
const momentsMs = [10, 60, 120, 200, 300, 500, 1000] as const;

function built(file: string): string {
  return JSON.stringify(pathToFileURL(join(packageRoot(), "dist", file)).href);
}

/** As the worker starts the process of a job, or of a task. */
const workerChild = (file: string): string => `
  const { ChildProcess } = await import(${built("worker/childProcess.js")});
  const none = () => undefined;
  const file = new URL(${built(file)});
  new ChildProcess({ file, environment: process.env, onEvent: none, onExit: none });`;

/** As `bitfleet up` and the other commands start a part. */
const part = (name: string): string => `
  const { PartProcess } = await import(${built("src/cli/processes.js")});
  new PartProcess(${JSON.stringify(name)}, process.env, () => undefined);`;

const natsServer = async (): Promise<string> => `
  const { startNatsServer } = await import(${built("src/link/natsServer.js")});
  const binary = ${JSON.stringify(await findNatsServer(process.env, toolchainFile()))};
  void startNatsServer({ binary, folder: process.env.BITFLEET_HOME });`;

const demoFleet = (): string => `
  const { spawn } = await import("node:child_process");
  const { Fleet } = await import(${built("src/demo/fleet.js")});
  await Fleet.start({ home: process.env.BITFLEET_HOME, workers: 1, spawn });`;

/**
 * Has a process run `script`, which starts others, and kills it so long after it has. Returns how many there were when it was
 * killed, and those that have not ended.
 */
async function killAfter(
  script: string,
  momentMs: number,
): Promise<{ readonly before: number; readonly left: readonly string[] }> {
  const mark = new Mark();
  marks.push(mark);
  const text = `${script}\nprocess.stdout.write("started\\n");\nsetInterval(() => undefined, 1000);`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", text], {
    env: {
      ...process.env,
      ...mark.environment,
      NATS_URL: "",
      BITFLEET_HOME: join(folder, `home-${momentMs}`),
      BITFLEET_PORT: String(await anyPort()),
      BITFLEET_HTTP_PORT: String(await anyPort()),
      // Where nobody listens: a worker goes on asking.
      BITFLEET_JOIN: `127.0.0.1:${await anyPort()}`,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(parent.stdout, "data");
  await sleep(momentMs);
  // One that is just being started has no environment yet.
  const children = await descendants(parent.pid ?? 0);
  const ended = once(parent, "exit");
  parent.kill("SIGKILL");
  await ended;
  let left: readonly string[] = [];
  const isOver = async (): Promise<boolean> => {
    const found = await mark.found();
    left = [
      ...children.filter((pid) => !found.has(pid) && isAlive(pid)).map(String),
      ...found.values(),
    ];
    return left.length === 0;
  };
  await until("the end of all", isOver, 40_000).catch(() => undefined);
  return { before: children.length, left: left.map((line) => `after ${momentMs} ms: ${line}`) };
}

test.each([
  ["the process of a job", async () => workerChild("worker/child.js")],
  ["the process of a task", async () => workerChild("worker/task.js")],
  ["a worker", async () => part("worker")],
  ["a coordinator with its NATS server", async () => part("coordinator")],
  ["a NATS server", natsServer],
  ["`up`", async () => demoFleet()],
])(
  "%s does not outlive its starter, whenever that is killed",
  async (_, script) => {
    const text = await script();
    const ends = await Promise.all(momentsMs.map((momentMs) => killAfter(text, momentMs)));
    expect(ends.flatMap(({ left }) => left)).toEqual([]);
    expect(Math.max(...ends.map(({ before }) => before)), "processes before").toBeGreaterThan(0);
  },
  120_000,
);
