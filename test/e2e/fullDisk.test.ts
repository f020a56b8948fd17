import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { architecture, tensors } from "../../src/bit/architecture.js";
import type { JobStatus } from "../../src/client/client.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { newestCheckpoint } from "../support/newestCheckpoint.js";
import { writePictures } from "../support/pictures.js";

/** A worker's real process whose files may not grow past a bound: as with a full disk, its writes are refused. */

let fleet: FleetProcesses;

beforeEach(async () => {
  fleet = await FleetProcesses.start();
  await writePictures(join(fleet.folder, "pictures"), { classes: 2, perClass: 12 });
  fleet.addWorker("w1");
  await fleet.waitForWorkers(1);
});

afterEach(() => fleet.stop());

async function submit(name: string): Promise<void> {
  await fleet.client.submit({
    ...{ name, model: "1-1-1-1x0.5", data: join(fleet.folder, "pictures"), seed: 5 },
    ...{ steps: 14, batch: 16, shards: 4, resize: 36, crop: 32, rate: 0.03, checkpointEvery: 2 },
    validationFraction: 0,
  });
}

async function ended(name: string): Promise<JobStatus | undefined> {
  let last: JobStatus | undefined;
  for await (const status of fleet.client.watch(name)) last = status;
  return last;
}

/** The process of the job under way. */
async function jobProcess(): Promise<number> {
  const worker = fleet.workers.get("w1")?.pid ?? 0;
  const ids = await readFile(`/proc/${worker}/task/${worker}/children`, "utf8");
  for (const id of ids.split(" ").filter((text) => text.trim() !== "")) {
    const line = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "");
    if (line.includes("child.js")) return Number(id);
  }
  throw new Error("no process of a job");
}

function bound(pid: number, bytes: string): void {
  execFileSync("prlimit", ["--pid", String(pid), `--fsize=${bytes}:`]);
}

test("a store that takes nothing costs a running job one warning, and its weights wait for room", async () => {
  await submit("plain");
  const plain = await ended("plain");
  await submit("full");
  await until("a checkpoint", async () => {
    const messages: string[] = [];
    for await (const { message } of fleet.client.logs("full")) messages.push(message);
    return messages.some((message) => message.includes("checkpoint of step 2 is saved"));
  });
  const pid = await jobProcess();
  bound(pid, "1000");
  await until("it waits", async () => (await fleet.client.job("full")).reason !== "");
  const waiting = await fleet.client.job("full");
  expect(waiting).toMatchObject({ state: "saving", step: 14, attempt: 1 });
  expect(waiting.reason).toContain("the weights cannot be written, which is tried again");
  const warnings: string[] = [];
  for await (const { level, message } of fleet.client.logs("full"))
    if (level === "warn") warnings.push(message);
  expect(warnings).toEqual([expect.stringContaining("is not saved: the file grows larger than")]);
  const store = await FolderStore.open(join(fleet.folder, "home", "store"));
  const { manifest, skipped } = await newestCheckpoint(store, "full", ({ model, classes }) =>
    tensors(architecture(model), classes),
  );
  expect([(manifest?.step ?? 0) > 0, skipped]).toEqual([true, []]);
  bound(pid, "unlimited");
  expect(await ended("full")).toMatchObject({
    ...{ state: "done", step: 14, attempt: 1, reason: "" },
    parameterDigest: plain?.parameterDigest,
  });
}, 120_000);
