import { afterEach, expect, test } from "vitest";
import {
  beginStep,
  childPlace,
  dealt,
  DrivenChild,
  startChildren,
} from "../support/drivenChild.js";

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const place = { step: 0, kind: "initial" } as const;

test("the job's process spoils shards and parameters where the failpoints say so, and says so", async () => {
  const setting = await childPlace(cleanUps);
  const { order } = setting;
  const sums: number[][] = [];
  const states: number[][] = [];
  for (const failpoints of ["", "wrong-shard@1#2,flip-parameter@2,nan-shard@3#1,slow=1@0#0"]) {
    const { workers } = await startChildren(
      [failpoints === "" ? "right" : "wrong"],
      setting,
      place,
      cleanUps,
      { BITFLEET_FAILPOINTS: failpoints },
    );
    const [worker] = workers;
    if (worker === undefined) throw new Error("no worker");
    const members = dealt(workers, order.settings.shards);
    sums.push([]);
    states.push([]);
    for (let step = 0; step < 4; step += 1) {
      beginStep(worker, members, order, step);
      sums.at(-1)?.push((await worker.next("summed")).sumChecksum);
      worker.send({ kind: "apply", step, save: false, sumChecksum: undefined });
      states.at(-1)?.push((await worker.next("applied")).parameterChecksum);
    }
    await worker.close();
    const shards = worker.history.filter((event) => event.kind === "shard");
    const infinite = shards.filter(({ result }) => !result.finite);
    const isRight = failpoints === "";
    expect(infinite.map(({ step, result }) => [step, result.shard])).toEqual(
      isRight ? [] : [[3, 1]],
    );
    if (!isRight) expect(shards[0]?.computeMs).toBeGreaterThan(1000);
    const logged = worker.history.flatMap((event) => (event.kind === "log" ? event.message : []));
    expect(logged).toEqual(
      isRight
        ? []
        : [
            "failpoint slow fires at step 0, shard 0",
            "failpoint wrong-shard fires at step 1, shard 2",
            "failpoint flip-parameter fires at step 2",
            "failpoint nan-shard fires at step 3, shard 1",
          ],
    );
  }
  const [right, wrong] = sums;
  expect(right?.map((sum, step) => sum === wrong?.[step])).toEqual([true, false, false, false]);
  const same = states[0]?.map((state, step) => state === states[1]?.[step]);
  expect(same).toEqual([true, false, false, false]);
}, 60_000);

test("a flipped parameter alone changes the state after its step, not the sum before", async () => {
  const setting = await childPlace(cleanUps);
  const outcomes: string[] = [];
  for (const failpoints of ["", "flip-parameter@0"]) {
    const { workers } = await startChildren([`f${failpoints.length}`], setting, place, cleanUps, {
      BITFLEET_FAILPOINTS: failpoints,
    });
    const [worker] = workers;
    if (worker === undefined) throw new Error("no worker");
    beginStep(worker, dealt(workers, setting.order.settings.shards), setting.order, 0);
    const { sumChecksum } = await worker.next("summed");
    worker.send({ kind: "apply", step: 0, save: false, sumChecksum: undefined });
    const { parameterChecksum } = await worker.next("applied");
    outcomes.push(`${sumChecksum} ${parameterChecksum}`);
    await worker.close();
  }
  const [before, after] = outcomes.map((outcome) => outcome.split(" "));
  expect(before?.[0]).toBe(after?.[0]);
  expect(before?.[1]).not.toBe(after?.[1]);
}, 60_000);

test("memory that runs out in a shard is reported as such, and a wedged kernel says nothing", async () => {
  const setting = await childPlace(cleanUps);
  const { order } = setting;
  const { workers } = await startChildren(["short", "stuck"], setting, place, cleanUps, {
    BITFLEET_FAILPOINTS: "out-of-memory@0#0,hang@0#6",
  });
  const [short, stuck] = workers;
  if (short === undefined || stuck === undefined) throw new Error("no workers");
  const members = dealt(workers, order.settings.shards);
  for (const worker of workers) beginStep(worker, members, order, 0);
  const { cause, message } = await short.next("failed");
  expect(cause).toBe("memory");
  expect(message).toMatch(/^out of memory: .*OOM when allocating tensor/);
  // Its main thread goes on, so it still tells how it stands; no shard comes.
  await stuck.next("exchanging");
  const shard = stuck.next("shard").then(() => "shard");
  const later = new Promise((resolve) => setTimeout(resolve, 2000, "silence"));
  expect(await Promise.race([shard, stuck.ended, later])).toBe("silence");
  // It cannot exit either, with a thread that never comes back, so it kills itself.
  stuck.send({ kind: "close" });
  expect(await stuck.ended).toBeNull();
}, 60_000);

test("a process that is to exit does so before it is ready, or in the middle of a step", async () => {
  const variables = { BITFLEET_FAILPOINTS: "exit-before-ready" };
  expect(await new DrivenChild("early", { threads: 1 }, variables).ended).toBe(70);
  const setting = await childPlace(cleanUps);
  const { workers } = await startChildren(["late"], setting, place, cleanUps, {
    BITFLEET_FAILPOINTS: "exit@0#3",
  });
  const [worker] = workers;
  if (worker === undefined) throw new Error("no worker");
  beginStep(worker, dealt(workers, setting.order.settings.shards), setting.order, 0);
  expect((await worker.next("shard")).result.shard).toBe(0);
  expect(await worker.ended).toBe(70);
}, 60_000);
