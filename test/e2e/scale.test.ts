import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connect, type BitfleetClient } from "../../src/client/client.js";
import type { JobRequest } from "../../src/job/settings.js";
import { anyPort } from "../../src/process/port.js";
import { FleetProcesses, RunningProcess, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";

let folder: string;
let up: RunningProcess;
let client: BitfleetClient;
let address: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-scale-"));
  await writePictures(join(folder, "pictures"), { classes: 2, perClass: 20 });
  const port = await anyPort();
  const ports = ["--port", String(port), "--http-port", String(await anyPort())];
  const flags = ["up", "--workers", "1", "--home", join(folder, "home"), ...ports];
  up = new RunningProcess("src/cli/main.js", flags, { NATS_URL: "" });
  address = `127.0.0.1:${port}`;
  client = connect({ address });
  await until("a worker", async () => (await workers()) === 1);
}, 60_000);

afterAll(async () => {
  client.close();
  await up.stop();
  await rm(folder, { recursive: true, force: true });
});

async function workers(): Promise<number> {
  const all = await client.workers().catch(() => []);
  return all.filter(({ state }) => state !== "lost").length;
}

async function scale(count: number): Promise<void> {
  const command = new RunningProcess("src/cli/main.js", ["scale", String(count)], {
    BITFLEET_COORDINATOR: address,
    ...{ KUBECONFIG: "", KUBERNETES_SERVICE_HOST: "" },
  });
  const { code } = await command.ended;
  expect([code, command.output.trim()]).toEqual([
    0,
    `${count} ${count === 1 ? "worker is" : "workers are"} to run`,
  ]);
}

function request(name: string): JobRequest {
  return {
    name,
    ...{ model: "1-1-1-1x0.5", data: join(folder, "pictures"), seed: 5, steps: 60 },
    ...{ batch: 12, shards: 6, resize: 36, crop: 32, rate: 0.003, checkpointEvery: 1000 },
  };
}

async function done(name: string): Promise<Buffer> {
  await until("the end", async () => (await client.job(name)).state === "done", 150_000);
  const file = join(folder, `${name}.npz`);
  await client.exportWeights(name, file, { force: true });
  return readFile(file);
}

/** As soon as so many work on it: reading on is what makes the job's pace no matter. */
async function worksOn(name: string, count: number): Promise<void> {
  await until(
    `${count} workers on ${name}`,
    async () => {
      const status = await client.job(name);
      if (status.state === "done") throw new Error(`${name} is done already`);
      return status.state === "training" && status.workers === count;
    },
    150_000,
  );
}

test("a fleet that grows and shrinks under a job loses no step of it, and the same bytes come out", async () => {
  await client.submit(request("undisturbed"));
  const expected = await done("undisturbed");
  await client.submit(request("scaled"));
  await worksOn("scaled", 1);
  await scale(3);
  await worksOn("scaled", 3);
  await scale(1);
  await until("one worker", async () => (await workers()) === 1, 150_000);
  expect(await done("scaled")).toEqual(expected);

  const steps: unknown[] = [];
  for await (const { fields } of client.logs("scaled"))
    if (fields["loss"] !== undefined && fields["rate"] !== undefined) steps.push(fields["step"]);
  expect(steps).toEqual([...new Set(steps)]);
  expect((await client.job("scaled")).attempt).toBe((await client.job("undisturbed")).attempt);
  for (const i of [2, 3]) {
    const log = await readFile(join(folder, "home", "logs", `worker-${i}.log`), "utf8");
    expect(log).toContain("left the fleet");
  }
  expect(up.output).not.toMatch(/starting it again|not started again/);
}, 300_000);

test("workers that others started are not a coordinator's to scale", async () => {
  const fleet = await FleetProcesses.start();
  try {
    await until("an answer", () =>
      fleet.client.workers().then(
        () => true,
        () => false,
      ),
    );
    const { code, output } = await fleet.bitfleet(
      "scale",
      "2",
      "--coordinator",
      `127.0.0.1:${fleet.port}`,
    );
    expect(output).toMatch(
      /the workers of this fleet were not started by `bitfleet up`; start or stop them where they run/,
    );
    expect(code).toBe(1);
  } finally {
    await fleet.stop();
  }
}, 60_000);
