import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";

import { FolderStore } from "../../src/store/folderStore.js";
import { FleetProcesses, RunningProcess, until } from "../support/fleetProcesses.js";
import { ScriptedWorker } from "../support/scriptedWorker.js";

/** A coordinator with its own NATS that is killed with SIGKILL under a running job, and started again. */

let fleet: FleetProcesses;
let worker: ScriptedWorker;
let commands: RunningProcess[] = [];

const serves = (): Promise<void> =>
  until("it serves", () => fleet.coordinator.output.includes('"serving"'));

beforeEach(async () => {
  fleet = await FleetProcesses.start();
  await serves();
  const store = await FolderStore.open(join(fleet.folder, "home", "store"));
  worker = new ScriptedWorker({ id: "w1", address: `127.0.0.1:${fleet.port}`, store, shardMs: 10 });
  await until("the worker is welcome", () => worker.heard.length > 0);
});

afterEach(async () => {
  for (const command of commands) await command.stop();
  commands = [];
  worker.kill();
  await fleet.stop();
});

function bitfleet(...args: readonly string[]): RunningProcess {
  const command = new RunningProcess("src/cli/main.js", args, {
    BITFLEET_COORDINATOR: `127.0.0.1:${fleet.port}`,
    NO_COLOR: "1",
  });
  commands.push(command);
  return command;
}

async function killAndRestart(): Promise<number> {
  fleet.coordinator.kill("SIGKILL");
  await fleet.coordinator.ended;
  fleet.restartCoordinator();
  const startedMs = performance.now();
  await serves();
  return performance.now() - startedMs;
}

test("the command line's watch and logs --follow live through kills of the coordinator without gap or repetition", async () => {
  const settings = ["--model", "1-1-1-1x0.5", "--data", "/data", "--steps", "80", "--batch", "8"];
  const shape = ["--shards", "4", "--resize", "36", "--crop", "32", "--rate", "0.03"];
  const watching = bitfleet("submit", "--name", "long", ...settings, ...shape, "--watch");
  await until("step 3", () => worker.step >= 3);
  const following = bitfleet("logs", "long", "--follow", "--json");
  await until("it follows", () => following.output !== "");
  for (const step of [10, 30]) {
    await until(`step ${step}`, () => worker.step >= step);
    await killAndRestart();
  }
  expect(await watching.ended).toEqual({ code: 0, signal: null });
  expect(watching.output).toContain("long is done");
  expect(await following.ended).toEqual({ code: 0, signal: null });
  const lines = following.output.split("\n").filter((line) => line !== "");
  const numbers = lines.map((line) => Number(/"sequence":(\d+)/.exec(line)?.[1]));
  expect(numbers).toEqual(numbers.map((_, i) => i + 1));
  expect(numbers.length).toBeGreaterThan(80);
  expect(lines.at(-1)).toContain("done");
}, 60_000);

test("one client's calls are answered again as soon as the coordinator is back", async () => {
  expect(await fleet.client.workers()).toHaveLength(1);
  fleet.coordinator.kill("SIGKILL");
  await fleet.coordinator.ended;
  const jobs = fleet.client.jobs();
  await sleep(300);
  fleet.restartCoordinator();
  expect(await jobs).toEqual([]);
  await serves();
});
