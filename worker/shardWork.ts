import type { JobOrder, RoundKind, ShardResult } from "../src/control/message.js";
import { samplePlan } from "../src/job/samplePlan.js";
import { evaluationShards } from "../src/plan/evaluation.js";
import { Sampler } from "../src/plan/sampler.js";
import { assert } from "../src/job/problem.js";
import type { Range } from "../src/plan/tree.js";
import type { Batch, ComputeCalls } from "./computeThread.js";
import type { Faults } from "./faults.js";
import type { LoaderCalls } from "./loaderThread.js";
import type { Thread } from "./thread.js";

export interface ShardDone {
  readonly attempt: number;
  readonly step: number;
  readonly round: RoundKind;
  readonly result: ShardResult;
  readonly computeMs: number;
}

export interface ShardWorkOptions {
  readonly order: JobOrder;
  readonly compute: Thread<ComputeCalls>;
  readonly loader: Thread<LoaderCalls>;
  /** A vector for a shard's gradient, and where one goes that nobody wants any more. */
  readonly take: () => Float32Array;
  readonly give: (values: Float32Array) => void;
  /** `gradient` is undefined in an evaluation; it belongs to the receiver. */
  readonly onShard: (event: ShardDone, gradient: Float32Array | undefined) => void;
  readonly onFailure: (error: unknown) => void;
  /** Of a test. */
  readonly faults: Faults | undefined;
}

interface Item {
  readonly attempt: number;
  readonly step: number;
  readonly round: RoundKind;
  readonly shard: number;
}

type Loaded = Batch & { readonly checksum: number };

/** Shards whose pictures are being read while another one is computed. */
const readAhead = 3;

/** The work list of a round: reads ahead, computes one shard after another, hands each on. */
export class ShardWork {
  readonly #options: ShardWorkOptions;
  readonly #sampler: Sampler;
  readonly #evaluation: readonly Range[];
  #items: Item[] = [];
  #loading = new Map<Item, Promise<Loaded>>();
  #running = false;

  constructor(options: ShardWorkOptions) {
    const { order } = options;
    this.#options = options;
    this.#sampler = new Sampler(samplePlan(order.settings, order.trainingExamples));
    this.#evaluation = evaluationShards(order.validationExamples);
  }

  append(work: {
    readonly attempt: number;
    readonly step: number;
    readonly round: RoundKind;
    readonly shards: readonly number[];
    readonly first: boolean;
  }): void {
    if (work.first) this.clear();
    const { attempt, step, round } = work;
    this.#items.push(...work.shards.map((shard) => ({ attempt, step, round, shard })));
    this.#readAhead();
    if (!this.#running) void this.#run();
  }

  /** Drops what is not begun. What is being computed ends and is dropped as well. */
  clear(): void {
    this.#items = [];
    // Nobody waits for these any more; a picture that cannot be read is met again when it counts.
    for (const loading of this.#loading.values()) loading.catch(() => undefined);
    this.#loading = new Map();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      for (let item = this.#items[0]; item !== undefined; item = this.#items[0]) {
        const loaded = await this.#load(item);
        if (this.#items[0] !== item) continue;
        await (item.round === "training"
          ? this.#train(item, loaded)
          : this.#evaluate(item, loaded));
      }
    } catch (error) {
      this.#options.onFailure(error);
    } finally {
      this.#running = false;
    }
  }

  async #train(item: Item, batch: Loaded): Promise<void> {
    const { faults } = this.#options;
    const into = this.#options.take();
    const lambda = this.#sampler.lambda(item.step);
    const longerMs = (await faults?.beforeShard(item)) ?? 0;
    const call = this.#options.compute.call("shard", { batch: plain(batch), lambda, into });
    const done = await call;
    const { loss } = done;
    const finite = (faults?.spoil(item, into) ?? true) && done.finite;
    const computeMs = done.computeMs + longerMs;
    if (!this.#finish(item)) {
      this.#options.give(into);
      return;
    }
    const count = batch.labels.length;
    const inputChecksum = batch.checksum;
    const { shard, ...place } = item;
    const result = { shard, loss, count, correct: 0, finite, inputChecksum };
    this.#options.onShard({ ...place, result, computeMs }, into);
  }

  async #evaluate(item: Item, batch: Loaded): Promise<void> {
    const { correct, loss, computeMs } = await this.#options.compute.call("evaluate", plain(batch));
    if (!this.#finish(item)) return;
    const count = batch.labels.length;
    const inputChecksum = batch.checksum;
    const { shard, ...place } = item;
    const finite = Number.isFinite(loss);
    const result = { shard, loss, count, correct, finite, inputChecksum };
    this.#options.onShard({ ...place, result, computeMs }, undefined);
  }

  /** Whether the item still counted; takes it off the list. */
  #finish(item: Item): boolean {
    if (this.#items[0] !== item) return false;
    this.#items.shift();
    this.#loading.delete(item);
    this.#readAhead();
    return true;
  }

  #readAhead(): void {
    for (const item of this.#items.slice(0, readAhead)) {
      // An error is met where the shard's turn comes.
      this.#load(item).catch(() => undefined);
    }
  }

  #load(item: Item): Promise<Loaded> {
    const loading = this.#loading.get(item) ?? this.#request(item);
    this.#loading.set(item, loading);
    return loading;
  }

  #request({ round, step, shard }: Item): Promise<Loaded> {
    const { settings } = this.#options.order;
    if (round === "training") {
      const draws = this.#sampler.draws(step, shard);
      const { resize, crop, noCrop } = settings;
      return this.#options.loader.call("training", { draws, resize, crop, randomCrop: !noCrop });
    }
    const range = this.#evaluation[shard];
    assert(range !== undefined, `shard ${shard} of ${this.#evaluation.length}`);
    return this.#options.loader.call("evaluation", { ...range, crop: settings.crop });
  }
}

/** Without what the device does not need. */
function plain({ images, labels, partnerImages, partnerLabels }: Loaded): Batch {
  return {
    images,
    labels,
    ...(partnerImages !== undefined && { partnerImages }),
    ...(partnerLabels !== undefined && { partnerLabels }),
  };
}
