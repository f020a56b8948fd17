import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JobStatus, LogLine } from "../../src/client/client.js";
import type { JobRequest } from "../../src/job/settings.js";
import { FleetProcesses } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";

let fleet: FleetProcesses;
let undisturbed = "";
let evaluated: JobStatus["evaluations"] = [];

beforeAll(async () => {
  fleet = await FleetProcesses.start();
  await writePictures(join(fleet.folder, "pictures"), { classes: 3, perClass: 20 });
  for (const id of ["right", "upright", "doubtful"]) fleet.addWorker(id);
  await fleet.waitForWorkers(3);
  const { parameterDigest, evaluations } = (await run("undisturbed")).status;
  undisturbed = parameterDigest;
  evaluated = evaluations;
}, 120_000);

afterAll(() => fleet.stop());

/** A job of eight steps that all three workers begin, and two may go on with. */
function request(name: string, more: Partial<JobRequest>): JobRequest {
  return {
    name,
    ...{ model: "1-1-1-1x0.5", data: join(fleet.folder, "pictures"), seed: 5 },
    ...{ steps: 8, batch: 32, shards: 8, resize: 36, crop: 32, rate: 0.03 },
    ...{ checkpointEvery: 8, minWorkers: 2, audit: 0 },
    ...more,
  };
}

/** How a job ends that is at fault itself. */
const sentence =
  /^shard \d+ of step \d+ is not finite on [a-z]+, and on [a-z]+ as well: the rate may be too high; the last good checkpoint is of step \d+$/;

interface Ended {
  readonly status: JobStatus;
  readonly lines: readonly LogLine[];
}

async function run(name: string, more: Partial<JobRequest> = {}): Promise<Ended> {
  await fleet.client.submit(request(name, more));
  return await ended(name);
}

async function ended(name: string): Promise<Ended> {
  let status: JobStatus | undefined;
  for await (const next of fleet.client.watch(name)) status = next;
  if (status === undefined) throw new Error(`nothing was heard of ${name}`);
  const lines: LogLine[] = [];
  for await (const line of fleet.client.logs(name)) lines.push(line);
  return { status, lines };
}

/** Runs a job in which the worker `doubtful` fails on purpose. */
async function runWith(failpoint: string, more: Partial<JobRequest> = {}): Promise<Ended> {
  await fleet.removeWorker("doubtful");
  fleet.addWorker("doubtful", { BITFLEET_FAILPOINTS: failpoint });
  await fleet.waitForWorkers(3);
  return await run(failpoint.replace("@", "-"), more);
}

interface Blame {
  readonly message: string;
  readonly worker: unknown;
  readonly step: unknown;
  readonly shard?: unknown;
}

/** What the log says about workers at level warn, but for the failpoint's own line. */
function blameIn(lines: readonly LogLine[]): readonly Blame[] {
  return lines.flatMap(({ level, message, fields: { worker, step, shard } }) =>
    level === "warn" && worker !== undefined && !message.startsWith("failpoint ")
      ? [{ message, worker, step, ...(shard !== undefined && { shard }) }]
      : [],
  );
}

/** The shard that a failpoint says it has spoiled. */
function spoiledShard(lines: readonly LogLine[], name: string): number {
  const fired = lines.flatMap(({ message }) => {
    const [, step, shard] =
      new RegExp(`^failpoint ${name} fires at step (\\d+), shard (\\d+)$`).exec(message) ?? [];
    return shard === undefined ? [] : [{ step: Number(step), shard: Number(shard) }];
  });
  expect(fired).toHaveLength(1);
  expect(fired[0]?.step).toBe(3);
  return fired[0]?.shard ?? -1;
}

/** How many workers made each step, by the step that it led to. */
function workersAt(lines: readonly LogLine[]): ReadonlyMap<unknown, unknown> {
  const steps = lines.filter(({ fields }) => fields["rate"] !== undefined);
  return new Map(steps.map(({ fields }) => [fields["step"], fields["workers"]]));
}

test("a shard with a NaN is computed again, and its worker is named, set aside and not averaged in", async () => {
  const { status, lines } = await runWith("nan-shard@3");
  expect(status).toMatchObject({ state: "done", step: 8, attempt: 1 });
  const shard = spoiledShard(lines, "nan-shard");
  const why = `shard ${shard} of step 3 came out wrong on it: it is not finite`;
  expect(blameIn(lines)).toEqual([
    { message: `doubtful is set aside: ${why}`, worker: "doubtful", step: 3, shard },
  ]);
  expect([3, 4, 8].map((step) => workersAt(lines).get(step))).toEqual([3, 2, 2]);
  expect(status.parameterDigest).toBe(undisturbed);
}, 120_000);

test("a wrong gradient is found by the audit, and its worker is named, set aside and not averaged in", async () => {
  const { status, lines } = await runWith("wrong-shard@3", { audit: 1 });
  expect(status).toMatchObject({ state: "done", step: 8, attempt: 1 });
  const shard = spoiledShard(lines, "wrong-shard");
  const why = `shard ${shard} of step 3 came out wrong on it: its gradient is another`;
  expect(blameIn(lines)).toEqual([
    { message: `doubtful is set aside: ${why}`, worker: "doubtful", step: 3, shard },
  ]);
  expect([3, 4, 8].map((step) => workersAt(lines).get(step))).toEqual([3, 2, 2]);
  expect(status.parameterDigest).toBe(undisturbed);
}, 120_000);

test("a bit that flips in one worker's parameters is found at the next step, and it takes a copy of the others'", async () => {
  const { status, lines } = await runWith("flip-parameter@3");
  expect(status).toMatchObject({ state: "done", step: 8, attempt: 1 });
  const blames = blameIn(lines);
  expect(blames).toHaveLength(1);
  expect(blames[0]).toMatchObject({ worker: "doubtful", step: 4 });
  expect(blames[0]?.message).toMatch(
    /^doubtful takes a copy of the others' state: its parameters of step 4 have checksum \d+, and \d+ on the others$/,
  );
  const joins = lines.filter(({ message }) => message.startsWith("doubtful joined at step "));
  expect(joins).toHaveLength(1);
  expect(workersAt(lines).get(8)).toBe(3);
  expect(status.parameterDigest).toBe(undisturbed);
}, 120_000);

test("a wrong count in an evaluation is found by the audit, and neither log nor status has it", async () => {
  await fleet.removeWorker("upright");
  await fleet.removeWorker("doubtful");
  fleet.addWorker("doubtful", { BITFLEET_FAILPOINTS: "wrong-count@8" });
  await fleet.waitForWorkers(2);
  const { status, lines } = await run("miscounted", { minWorkers: 1, audit: 256 });
  expect(status).toMatchObject({ state: "done", step: 8, attempt: 1 });
  expect(lines.filter(({ message }) => message.startsWith("failpoint wrong-count"))).toHaveLength(
    1,
  );
  const blames = blameIn(lines).filter(({ step }) => step === 8);
  expect(blames).toHaveLength(1);
  expect(blames[0]).toMatchObject({ worker: "doubtful", shard: 0 });
  expect(blames[0]?.message).toMatch(
    /computed it twice, and differently \(it counts other pictures/,
  );
  expect(evaluated.length).toBeGreaterThan(0);
  expect(status.evaluations).toEqual(evaluated);
  expect(status.parameterDigest).toBe(undisturbed);
  fleet.addWorker("upright");
}, 120_000);

test("a job that diverges on all workers fails by name, keeps what was good, and goes on from there when resumed", async () => {
  const { status, lines } = await run("divergent", {
    ...{ rate: 100, warmupSteps: 2, steps: 40, checkpointEvery: 3 },
  });
  expect(status).toMatchObject({ state: "failed", attempt: 1 });
  expect(status.checkpointStep).toBeGreaterThan(0);
  expect(status.reason).toMatch(sentence);
  expect(blameIn(lines)).toEqual([]);
  const errors = lines.flatMap(({ level, message }) => (level === "error" ? [message] : []));
  expect(errors).toEqual([`failed: ${status.reason}`]);

  await fleet.client.resume("divergent");
  const again = await ended("divergent");
  const { checkpointStep } = status;
  expect(again.lines.map(({ message }) => message)).toContain(
    `attempt 2 begins from step ${checkpointStep} with 3 workers`,
  );
  // The same numbers lead to the same end, at the same step.
  expect(again.status).toMatchObject({ state: "failed", attempt: 2, step: status.step });
  expect(again.status.reason).toMatch(sentence);
}, 120_000);
