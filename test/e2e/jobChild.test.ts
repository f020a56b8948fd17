import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { weightsName } from "../../src/job/storedNames.js";
import type { JobOrder } from "../../src/control/message.js";
import {
  beginStep,
  childPlace,
  dealt,
  startChildren,
  type DrivenChild,
} from "../support/drivenChild.js";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** Runs steps on all workers and demands one sum and one state everywhere. */
async function train(
  workers: readonly DrivenChild[],
  order: JobOrder,
  steps: { readonly first: number; readonly end: number },
): Promise<void> {
  const members = dealt(workers, order.settings.shards);
  for (let step = steps.first; step < steps.end; step += 1) {
    for (const worker of workers) beginStep(worker, members, order, step);
    const sums = new Set<number>();
    for (const worker of workers) sums.add((await worker.next("summed")).sumChecksum);
    expect(sums.size, `sums of step ${step}`).toBe(1);
    const save = step + 1 === 3;
    const [sumChecksum] = sums;
    for (const [i, worker] of workers.entries()) {
      worker.send({ kind: "apply", step, save: save && i === 0, sumChecksum });
    }
    const states = new Set<number>();
    for (const worker of workers) states.add((await worker.next("applied")).parameterChecksum);
    expect(states.size, `states after step ${step}`).toBe(1);
    if (save) await workers[0]?.next("saved");
  }
}

async function exported(worker: DrivenChild | undefined, store: string): Promise<Buffer> {
  worker?.send({ kind: "save", what: "weights" });
  await worker?.next("saved");
  return readFile(join(store, weightsName("bits")));
}

test("the job's process exports the same bytes for 1, 2 and 3 workers, and from a checkpoint", async () => {
  const place = await childPlace(cleanUps);
  const { order, store } = place;
  const files: Buffer[] = [];
  for (const count of [1, 2, 3]) {
    const names = Array.from({ length: count }, (_, i) => `of${count}-${i}`);
    const { workers, checksums } = await startChildren(
      names,
      place,
      { kind: "initial", step: 0 },
      cleanUps,
    );
    expect(checksums.size, "one probe and one state").toBe(2);
    await train(workers, order, { first: 0, end: 6 });
    files.push(await exported(workers[0], store));
    for (const worker of workers) await worker.close();
  }
  const { workers } = await startChildren(
    ["again"],
    place,
    { kind: "checkpoint", step: 3 },
    cleanUps,
  );
  await train(workers, order, { first: 3, end: 6 });
  files.push(await exported(workers[0], store));
  const [first, ...others] = files;
  expect(first?.length).toBeGreaterThan(1_000_000);
  for (const other of others) expect(first?.equals(other)).toBe(true);
}, 120_000);

test("the job's process applies no other sum than the one that was decided", async () => {
  const place = await childPlace(cleanUps);
  const { order } = place;
  const source = { kind: "initial", step: 0 } as const;
  const { workers } = await startChildren(["odd"], place, source, cleanUps);
  const [worker] = workers;
  if (worker === undefined) throw new Error("no worker was started");
  beginStep(worker, dealt(workers, order.settings.shards), order, 0);
  const { sumChecksum } = await worker.next("summed");
  const decided = sumChecksum ^ 1;
  worker.send({ kind: "apply", step: 0, save: false, sumChecksum: decided });
  const { message } = await worker.next("failed");
  expect(message).toBe(
    `its sum of step 0 has checksum ${sumChecksum}, and the one that was decided ${decided}`,
  );
}, 60_000);
