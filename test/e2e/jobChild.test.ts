import { fork, type ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { ChildCommand, ChildEvent } from "../../src/control/memberEvent.js";
import type { JobOrder, RoundMember } from "../../src/control/message.js";
import { buildIndex } from "../../src/data/buildIndex.js";
import { summarize } from "../../src/data/dataIndex.js";
import { storeIndex } from "../../src/data/storedIndex.js";
import { planJob } from "../../src/job/plan.js";
import { findNatsServer, startNatsServer } from "../../src/link/natsServer.js";
import { deal } from "../../src/plan/deal.js";
import { packageRoot, toolchainFile } from "../../src/process/toolchain.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { childEnvironment } from "../../worker/childEnvironment.js";
import { writePictures } from "../support/pictures.js";

/** The real process of a job, driven by hand in the supervisor's place. */
class Driven {
  readonly address: string;
  readonly #process: ChildProcess;
  readonly #events: ChildEvent[] = [];
  #wake: (() => void) | undefined;

  constructor(address: string, settings: { readonly threads: number }) {
    this.address = address;
    this.#process = fork(join(packageRoot(), "dist", "worker", "child.js"), {
      env: childEnvironment(process.env, settings),
      serialization: "advanced",
      stdio: ["ignore", "inherit", "ignore", "ipc"],
    });
    this.#process.on("message", (event: ChildEvent) => {
      this.#events.push(event);
      this.#wake?.();
    });
  }

  send(command: ChildCommand): void {
    this.#process.send(command);
  }

  /** The next event of the kind; those before it are dropped. Throws what the child failed with. */
  async next<Kind extends ChildEvent["kind"]>(
    kind: Kind,
  ): Promise<Extract<ChildEvent, { readonly kind: Kind }>> {
    for (;;) {
      const event = this.#events.shift();
      if (event === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else if (event.kind === "failed") throw new Error(event.message);
      // The cast: the kind decides the type.
      else if (event.kind === kind) return event as Extract<ChildEvent, { readonly kind: Kind }>;
    }
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.send({ kind: "close" });
    await ended;
  }
}

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function setting(): Promise<{
  readonly store: string;
  readonly nats: { readonly url: string; readonly token: string };
  readonly order: JobOrder;
}> {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-test-"));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  const data = join(folder, "pictures");
  await writePictures(data, { classes: 3, perClass: 12 });
  const store = await FolderStore.open(join(folder, "store"));
  const request = {
    ...{ name: "bits", model: "1-1-1-1x0.5", data, seed: 3 },
    ...{ steps: 6, batch: 48, shards: 12, resize: 36, crop: 32, mixup: 0.2, rate: 0.03 },
  };
  const index = await buildIndex(
    { data, validationFraction: 0.25, seed: 3 },
    () => undefined,
    new AbortController().signal,
  );
  await storeIndex(store, index);
  const { settings, schedule, classes, trainingExamples, validationExamples } = planJob(
    request,
    summarize(index),
  );
  const nats = await startNatsServer({
    binary: await findNatsServer(process.env, toolchainFile()),
    folder: join(folder, "nats"),
  });
  cleanUps.push(() => nats.stop());
  return {
    store: join(folder, "store"),
    nats: { url: nats.url, token: "" },
    order: {
      ...{ job: "bits", attempt: 1, settings, schedule, classes: classes.length },
      ...{ trainingExamples, validationExamples, indexDigest: index.digest },
    },
  };
}

/** Starts workers that hold the untrained state. */
async function start(
  names: readonly string[],
  { order, nats, store }: Awaited<ReturnType<typeof setting>>,
  from: { readonly step: number; readonly kind: "initial" | "checkpoint" },
): Promise<{ readonly workers: readonly Driven[]; readonly checksums: Set<string> }> {
  const workers = names.map((name) => new Driven(`${name}-${order.attempt}`, order.settings));
  for (const worker of workers) {
    cleanUps.push(() => worker.close());
    worker.send({ kind: "prepare", order, term: 1, nats, store, address: worker.address });
  }
  const checksums = new Set<string>();
  for (const worker of workers) {
    checksums.add((await worker.next("prepared")).probe);
    const { step } = from;
    const source = from.kind === "initial" ? { kind: from.kind } : { kind: from.kind, step };
    worker.send({ kind: "load", step, source });
    checksums.add(String((await worker.next("loaded")).parameterChecksum));
  }
  return { workers, checksums };
}

function dealt(workers: readonly Driven[], shards: number): readonly RoundMember[] {
  const ranges = deal(
    shards,
    workers.map(() => 1),
  );
  return workers.map(({ address }, rank): RoundMember => {
    const range = ranges[rank];
    return {
      workerId: address,
      address,
      ranges: range === undefined ? [] : [range],
      finished: false,
    };
  });
}

function begin(
  worker: Driven,
  members: readonly RoundMember[],
  order: JobOrder,
  step: number,
): void {
  const { attempt } = order;
  const own = members.find(({ address }) => address === worker.address)?.ranges ?? [];
  const shards = own.flatMap(({ first, end }) =>
    Array.from({ length: end - first }, (_, i) => first + i),
  );
  worker.send({ kind: "compute", attempt, step, round: "training", shards, first: true });
  const shardCount = order.settings.shards;
  worker.send({ kind: "deal", attempt, generation: 1, step, shardCount, members });
}

/** Runs steps on all workers and demands one sum and one state everywhere. */
async function train(
  workers: readonly Driven[],
  order: JobOrder,
  steps: { readonly first: number; readonly end: number },
): Promise<void> {
  const members = dealt(workers, order.settings.shards);
  for (let step = steps.first; step < steps.end; step += 1) {
    for (const worker of workers) begin(worker, members, order, step);
    const sums = new Set<number>();
    for (const worker of workers) sums.add((await worker.next("summed")).sumChecksum);
    expect(sums.size, `sums of step ${step}`).toBe(1);
    const save = step + 1 === 3;
    for (const [i, worker] of workers.entries()) {
      worker.send({ kind: "apply", step, save: save && i === 0 });
    }
    const states = new Set<number>();
    for (const worker of workers) states.add((await worker.next("applied")).parameterChecksum);
    expect(states.size, `states after step ${step}`).toBe(1);
    if (save) await workers[0]?.next("saved");
  }
}

async function exported(worker: Driven | undefined, store: string): Promise<Buffer> {
  worker?.send({ kind: "save", what: "weights" });
  const saved = await worker?.next("saved");
  return readFile(join(store, saved?.name ?? ""));
}

test("the job's process exports the same bytes for 1, 2 and 3 workers, and from a checkpoint", async () => {
  const place = await setting();
  const { order, store } = place;
  const files: Buffer[] = [];
  for (const count of [1, 2, 3]) {
    const names = Array.from({ length: count }, (_, i) => `of${count}-${i}`);
    const { workers, checksums } = await start(names, place, { kind: "initial", step: 0 });
    expect(checksums.size, "one probe and one state").toBe(2);
    await train(workers, order, { first: 0, end: 6 });
    files.push(await exported(workers[0], store));
    for (const worker of workers) await worker.close();
  }
  const { workers } = await start(["again"], place, { kind: "checkpoint", step: 3 });
  await train(workers, order, { first: 3, end: 6 });
  files.push(await exported(workers[0], store));
  const [first, ...others] = files;
  expect(first?.length).toBeGreaterThan(1_000_000);
  for (const other of others) expect(first?.equals(other)).toBe(true);
}, 120_000);
