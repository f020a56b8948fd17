import { fork, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChildCommand, ChildEvent } from "../../src/control/memberEvent.js";
import type { JobOrder, NatsAccess, RoundMember } from "../../src/control/message.js";
import { buildIndex } from "../../src/data/buildIndex.js";
import { summarize } from "../../src/data/dataIndex.js";
import { storeIndex } from "../../src/data/storedIndex.js";
import { planJob } from "../../src/job/plan.js";
import { findNatsServer, startNatsServer } from "../../src/link/natsServer.js";
import { deal } from "../../src/plan/deal.js";
import { packageRoot, toolchainFile } from "../../src/process/toolchain.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { childEnvironment } from "../../worker/childEnvironment.js";
import { writePictures } from "./pictures.js";

/** The real process of a job, driven by hand in the supervisor's place. */
export class DrivenChild {
  readonly address: string;
  readonly #process: ChildProcess;
  /** All that it has said. */
  readonly history: ChildEvent[] = [];
  readonly #events: ChildEvent[] = [];
  /** Its exit code; null when a signal has ended it. */
  readonly ended: Promise<number | null>;
  #wake: (() => void) | undefined;

  constructor(
    address: string,
    settings: { readonly threads: number },
    variables: NodeJS.ProcessEnv = {},
  ) {
    this.address = address;
    this.#process = fork(join(packageRoot(), "dist", "worker", "child.js"), {
      env: childEnvironment({ ...process.env, ...variables }, settings),
      serialization: "advanced",
      stdio: ["ignore", "inherit", "ignore", "ipc"],
    });
    this.#process.on("message", (event: ChildEvent) => {
      this.history.push(event);
      this.#events.push(event);
      this.#wake?.();
    });
    this.ended = new Promise((resolve) => this.#process.once("exit", resolve));
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
      // The cast: the kind decides the type.
      else if (event.kind === kind) return event as Extract<ChildEvent, { readonly kind: Kind }>;
      else if (event.kind === "failed") throw new Error(event.message);
    }
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.send({ kind: "close" });
    await this.ended;
  }
}

/** What a child needs to take part in a small job. */
export interface ChildPlace {
  readonly store: string;
  readonly nats: NatsAccess;
  readonly order: JobOrder;
}

/** Pictures, their index, a plan and a NATS server; `cleanUps` takes what undoes them. */
export async function childPlace(cleanUps: (() => Promise<unknown>)[]): Promise<ChildPlace> {
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
    nats: { url: nats.url, user: "", secret: "" },
    order: {
      ...{ job: "bits", attempt: 1, settings, schedule, classes: classes.length },
      ...{ trainingExamples, validationExamples, indexDigest: index.digest },
    },
  };
}

/** Starts workers that hold the untrained state. */
export async function startChildren(
  names: readonly string[],
  { order, nats, store }: ChildPlace,
  from: { readonly step: number; readonly kind: "initial" | "checkpoint" },
  cleanUps: (() => Promise<unknown>)[],
  variables?: NodeJS.ProcessEnv,
): Promise<{ readonly workers: readonly DrivenChild[]; readonly checksums: Set<string> }> {
  const workers = names.map(
    (name) => new DrivenChild(`${name}-${order.attempt}`, order.settings, variables),
  );
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

/** The shards of a round, dealt evenly. */
export function dealt(workers: readonly DrivenChild[], shards: number): readonly RoundMember[] {
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
      checks: [],
    };
  });
}

/** Has a child compute its part of a step and add it up with the others. */
export function beginStep(
  worker: DrivenChild,
  members: readonly RoundMember[],
  order: JobOrder,
  step: number,
): void {
  const { attempt } = order;
  const own = members.find(({ address }) => address === worker.address)?.ranges ?? [];
  const shards = own.flatMap(({ first, end }) =>
    Array.from({ length: end - first }, (_, i) => first + i),
  );
  worker.send({
    kind: "compute",
    attempt,
    step,
    round: "training",
    shards,
    checks: [],
    first: true,
  });
  const shardCount = order.settings.shards;
  const followers: readonly string[] = [];
  worker.send({
    ...{ kind: "deal", attempt, generation: 1, step, trial: 0, shardCount, members, followers },
  });
}
