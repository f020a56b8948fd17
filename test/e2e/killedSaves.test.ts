import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { Random } from "../../src/plan/random.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { loadCheckpoint } from "../../src/store/checkpoint.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { newestCheckpoint } from "../support/newestCheckpoint.js";
import { savingSpecs } from "../support/savingLoop.js";
import { temporaryFolder } from "../unit/temporaryFolder.js";

const kills = 40;

/** Saves until it is killed, after that time from its first save on. Returns the last step that it called saved. */
async function saveAndKill(folder: string, from: number, afterMs: number): Promise<number> {
  const file = join(packageRoot(), "dist", "test", "support", "savingLoop.js");
  const saver = fork(file, [folder, String(from)], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  let last = from - 1;
  saver.on("message", (step) => (last = Number(step)));
  const ended = once(saver, "exit");
  await once(saver, "message");
  await sleep(afterMs);
  saver.kill("SIGKILL");
  expect(await ended).toEqual([null, "SIGKILL"]);
  return last;
}

test("a save that is killed at any moment leaves the newest checkpoint that was called saved, or a newer one", async () => {
  const folder = await temporaryFolder();
  const random = new Random(4);
  let torn = 0;
  for (let kill = 0, from = 1; kill < kills; kill += 1) {
    const saved = await saveAndKill(folder, from, random.below(40));
    const store = await FolderStore.open(folder);
    const { manifest, skipped } = await newestCheckpoint(store, "digits", () => savingSpecs);
    if (manifest === undefined) throw new Error(`no checkpoint is left after kill ${kill}`);
    expect(manifest.step).toBeGreaterThanOrEqual(saved);
    expect(manifest.step).toBeLessThanOrEqual(saved + 1);
    // Only the save that was under way may be in pieces, and is known to be.
    expect(skipped.length).toBeLessThanOrEqual(1);
    torn += skipped.length;
    const { parameters, momentum } = await loadCheckpoint(store, manifest, savingSpecs);
    expect(parameters.every((value) => value === manifest.step)).toBe(true);
    expect(momentum.every((value) => value === -manifest.step)).toBe(true);
    from = manifest.step + 1;
  }
  // Kills that came between the data and its manifest: otherwise nothing was put to the test.
  expect(torn).toBeGreaterThan(0);
}, 120_000);
