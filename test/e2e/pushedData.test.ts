import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FleetProcesses } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";
import { S3Server } from "../support/s3Server.js";

let server: S3Server;
let fleet: FleetProcesses;

beforeAll(async () => {
  server = await S3Server.start();
  const store = server.environment("fleet");
  fleet = await FleetProcesses.start({
    coordinator: store,
    worker: store,
    command: {},
    client: {},
  });
  await writePictures(join(fleet.folder, "pictures"), { classes: 2, perClass: 10 });
}, 90_000);

afterAll(async () => {
  await fleet.stop();
  await server.kill();
});

test("with everything in S3, a data set that was pushed gives the bytes that its folder gives", async () => {
  const cache = join(fleet.folder, "cache");
  for (const id of ["worker-0", "worker-1"]) fleet.addWorker(id, { BITFLEET_CACHE: cache });
  const folder = join(fleet.folder, "pictures");
  await fleet.waitForWorkers(2);
  await fleet.client.pushData(folder, "digits");

  const files: Buffer[] = [];
  for (const [name, data] of [
    ["of-folder", folder],
    ["of-store", "store:digits"],
  ] as const) {
    await fleet.client.submit({
      ...{ name, data, model: "1-1-1-1x0.5", seed: 5, minWorkers: 2, validationFraction: 0.2 },
      ...{ steps: 3, batch: 8, shards: 4, resize: 36, crop: 32, mixup: 0.2, rate: 0.03 },
      ...{ checkpointEvery: 2 },
    });
    let last = "";
    for await (const { state, reason } of fleet.client.watch(name)) last = `${state} ${reason}`;
    expect(last).toBe("done ");
    const file = join(fleet.folder, `${name}.npz`);
    await fleet.client.exportWeights(name, file, { force: true });
    files.push(await readFile(file));
  }
  const [ofFolder, ofStore] = files;
  expect(ofFolder?.length).toBeGreaterThan(100_000);
  expect(ofStore?.equals(ofFolder ?? Buffer.alloc(0)), "by cmp").toBe(true);

  const kept = await readdir(join(cache, "blobs"), { recursive: true });
  // All 20 pictures and the page that lists them.
  expect(kept.filter((name) => /\/[0-9a-f]{64}$/.test(name))).toHaveLength(21);
  const { output, code } = await fleet.bitfleet("data", "remove", "digits");
  expect([output.trim(), code]).toEqual(["removed digits, 21 files", 0]);
}, 300_000);
