import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, expect, test } from "vitest";
import { connect, type BitfleetClient } from "../../src/client/client.js";
import { anyPort, canListen } from "../../src/process/port.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { descendants } from "../support/descendants.js";
import { FleetProcesses, RunningProcess, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";
import { isAlive } from "../support/isAlive.js";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function startFleet(): Promise<FleetProcesses> {
  const fleet = await FleetProcesses.start();
  cleanUps.push(() => fleet.stop());
  return fleet;
}

/** A job far longer than any test. */
async function submitLong(client: BitfleetClient, folder: string): Promise<void> {
  const data = join(folder, "pictures");
  await writePictures(data, { classes: 2, perClass: 30 });
  await client.submit({
    ...{ name: "long", model: "1-1-1-1x0.5", data, crop: 32, resize: 36 },
    ...{ batch: 32, shards: 4, rate: 0.003, steps: 100_000 },
  });
}

async function jobProcess(worker: RunningProcess): Promise<number> {
  const [child] = await descendants(worker.pid);
  if (child === undefined) throw new Error("the worker has no process for a job");
  return child;
}

test("nothing of `up` outlives its SIGKILL, not even a wedged kernel, and its ports are free", async () => {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-up-"));
  const [port, httpPort] = [await anyPort(), await anyPort()];
  const home = join(folder, "home");
  const ports = ["--port", String(port), "--http-port", String(httpPort)];
  const flags = ["up", "--workers", "2", "--home", home, ...ports];
  const up = new RunningProcess("src/cli/main.js", flags, { BITFLEET_FAILPOINTS: "hang@1" });
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  const client = connect({ address: `127.0.0.1:${port}` });
  cleanUps.push(async () => client.close());
  await until("workers", async () => (await client.workers().catch(() => [])).length === 2);
  await submitLong(client, folder);
  await until("a step", async () => (await client.job("long")).step === 1);
  const natsPort = Number(await readFile(join(home, "nats", "port"), "utf8"));
  const pids = await descendants(up.pid);
  // Coordinator, sh and two processes of it, two workers and their children.
  expect(pids.length).toBeGreaterThanOrEqual(7);

  up.kill("SIGKILL");
  await until("all processes are gone", () => !pids.some(isAlive), 10_000);
  for (const free of [port, httpPort, natsPort]) {
    expect(await canListen("127.0.0.1", free), `port ${free}`).toBe(true);
  }
}, 120_000);

/** Starts a fleet as the demo does, in a folder, says so once its worker has joined, and stays. */
const demoFleet = `
  import { spawn } from "node:child_process";
import { once } from "node:events";
  const [fleetModule, clientModule, home] = process.argv.slice(1);
  const { Fleet } = await import(fleetModule);
  const { connect } = await import(clientModule);
  const fleet = await Fleet.start({ home, workers: 1, spawn });
  await fleet.ready(connect({ address: fleet.address }), 1, new AbortController().signal);
  console.log("ready");
`;

test("nothing of the demo's fleet outlives a SIGKILL of the demo", async () => {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-demo-"));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  const [fleetModule = "", clientModule = ""] = ["demo/fleet.js", "client/client.js"].map(
    (file) => pathToFileURL(join(packageRoot(), "dist/src", file)).href,
  );
  const script = ["--input-type=module", "-e", demoFleet, fleetModule, clientModule, folder];
  const demo = spawn(process.execPath, script, { stdio: ["ignore", "pipe", "inherit"] });
  cleanUps.push(async () => demo.kill("SIGKILL"));
  await once(demo.stdout, "data");
  const pids = await descendants(demo.pid ?? 0);
  cleanUps.push(async () => pids.filter(isAlive).forEach((pid) => process.kill(pid, "SIGKILL")));
  // Up, the coordinator, sh and two processes of it, and the worker.
  expect(pids.length).toBeGreaterThanOrEqual(5);
  demo.kill("SIGKILL");
  await until("all processes are gone", () => !pids.some(isAlive), 10_000);
}, 60_000);

test("a cancelled job is done when its wedged process is gone, within ten seconds", async () => {
  const fleet = await startFleet();
  const worker = fleet.addWorker("stuck", { BITFLEET_FAILPOINTS: "hang@2" });
  await fleet.waitForWorkers(1);
  await submitLong(fleet.client, fleet.folder);
  await until("two steps", async () => (await fleet.client.job("long")).step === 2);
  const child = await jobProcess(worker);
  const cancelledMs = performance.now();
  await fleet.client.cancel("long");
  await until(
    "the end",
    async () => (await fleet.client.job("long")).state === "cancelled",
    15_000,
  );
  expect(performance.now() - cancelledMs).toBeLessThan(10_000);
  expect(isAlive(child)).toBe(false);
}, 120_000);

test("a job's process does not outlive a SIGKILL of its worker, although it is wedged", async () => {
  const fleet = await startFleet();
  const worker = fleet.addWorker("stuck", { BITFLEET_FAILPOINTS: "hang@1" });
  await fleet.waitForWorkers(1);
  await submitLong(fleet.client, fleet.folder);
  await until("a step", async () => (await fleet.client.job("long")).step === 1);
  const child = await jobProcess(worker);
  worker.kill("SIGKILL");
  await until("its end", () => !isAlive(child), 5_000);
}, 120_000);

test("a worker without a coordinator ends after the time set, with a line and code 1", async () => {
  const fleet = await startFleet();
  const worker = fleet.addWorker("alone", { BITFLEET_KEEP_STATE: "3" });
  await fleet.waitForWorkers(1);
  await submitLong(fleet.client, fleet.folder);
  await until("a step", async () => (await fleet.client.job("long")).step >= 1);
  const child = await jobProcess(worker);
  fleet.coordinator.kill("SIGKILL");
  const aloneMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(isAlive(child)).toBe(true);
  expect((await worker.ended).code).toBe(1);
  expect(performance.now() - aloneMs).toBeLessThan(12_000);
  expect(isAlive(child)).toBe(false);
  expect(worker.output).toMatch(
    /^no coordinator for 3 s at 127\.0\.0\.1:\d+: the device is free again; see --keep-state$/m,
  );
}, 120_000);

test("of two workers of one name the newer ends with a sentence, and the older goes on", async () => {
  const fleet = await startFleet();
  const older = fleet.addWorker("twin");
  await fleet.waitForWorkers(1);
  const newer = fleet.addWorker("twin");
  cleanUps.push(() => newer.stop());
  expect((await newer.ended).code).toBe(1);
  expect(newer.output).toMatch(
    /^the coordinator told this worker to end: another process has the name twin, and is alive/m,
  );
  const workers = await fleet.client.workers();
  expect(workers.map(({ state }) => state)).toEqual(["idle"]);
  expect(isAlive(older.pid)).toBe(true);
}, 120_000);

test("workers are back within a second of the return of a coordinator that was killed", async () => {
  const fleet = await startFleet();
  const workers = ["a", "b", "c"].map((id) => fleet.addWorker(id));
  await fleet.waitForWorkers(3);
  fleet.coordinator.kill("SIGKILL");
  await fleet.coordinator.ended;
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  fleet.restartCoordinator();
  const joined = ({ output }: RunningProcess): readonly number[] =>
    times(output, "joined the fleet");
  await until("all are back", () => workers.every((worker) => joined(worker).length === 2));
  const [servedMs = NaN] = times(fleet.coordinator.output, "serving");
  for (const worker of workers) expect((joined(worker)[1] ?? NaN) - servedMs).toBeLessThan(1_000);
}, 60_000);

/** When lines with that message were logged. */
function times(output: string, message: string): readonly number[] {
  return output
    .split("\n")
    .filter((line) => line.includes(`"msg":"${message}"`))
    .map((line) => Date.parse(/"time":"([^"]+)"/.exec(line)?.[1] ?? ""));
}
