import { crc32 } from "node:zlib";
import type { Check, JobOrder, RoundKind, ShardResult } from "../src/control/message.js";
import { bytesOf } from "../src/exchange/content.js";
import { samplePlan } from "../src/job/samplePlan.js";
import { isAudited } from "../src/plan/audit.js";
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
  readonly parameterChecksum: number | undefined;
}

export interface ShardWorkOptions {
  readonly order: JobOrder;
  readonly compute: Thread<ComputeCalls>;
  readonly loader: Thread<LoaderCalls>;
  /** A vector for a shard's gradient, and where one goes that nobody wants any more. */
  readonly take: () => Float32Array;
  readonly give: (values: Float32Array) => void;
  /** `gradient` is undefined where it goes into no sum; it belongs to the receiver. */
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
  /** Which check of the shard it is; 0 goes into the sum. */
  readonly check: number;
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
    readonly checks: readonly Check[];
    readonly first: boolean;
  }): void {
    if (work.first) this.clear();
    const { attempt, step, round } = work;
    const own = work.shards.map((shard) => ({ attempt, step, round, shard, check: 0 }));
    const checks = work.checks.map((one) => ({
      attempt,
      step,
      round,
      shard: one.shard,
      check: one.number,
    }));
    // What others wait for comes first.
    this.#items.push(...own, ...checks);
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
    const { attempt, step, round, shard, check } = item;
    const longerMs = (await faults?.beforeShard(item)) ?? 0;
    const done = await this.#options.compute.call("shard", {
      batch: plain(batch),
      lambda: this.#sampler.lambda(step),
      into,
      isLast: this.#items.at(-1) === item,
    });
    const finite = (faults?.spoil(item, into) ?? true) && done.finite;
    const result = {
      ...{ shard, loss: done.loss, count: batch.labels.length, correct: 0, finite, check },
      inputChecksum: batch.checksum,
      gradientChecksum: this.#isCompared(item) ? crc32(bytesOf(into)) : 0,
    };
    const isWanted = this.#finish(item);
    if (!isWanted || check > 0) this.#options.give(into);
    if (!isWanted) return;
    const { parameterChecksum } = done;
    const event = { attempt, step, round, result, computeMs: done.computeMs + longerMs };
    this.#options.onShard({ ...event, parameterChecksum }, check > 0 ? undefined : into);
  }

  async #evaluate(item: Item, batch: Loaded): Promise<void> {
    const { computeMs, parameterChecksum, ...done } = await this.#options.compute.call("evaluate", {
      batch: plain(batch),
      isLast: this.#items.at(-1) === item,
    });
    if (!this.#finish(item)) return;
    const { shard, check, ...place } = item;
    const correct = this.#options.faults?.miscount(item, done.correct) ?? done.correct;
    const result = {
      ...{
        ...done,
        correct,
        shard,
        count: batch.labels.length,
        finite: Number.isFinite(done.loss),
        check,
      },
      inputChecksum: batch.checksum,
      gradientChecksum: 0,
    };
    this.#options.onShard({ ...place, result, computeMs, parameterChecksum }, undefined);
  }

  /** A checksum takes 20 ms for R50x1, so only gradients that somebody compares have one. */
  #isCompared({ step, shard, check }: Item): boolean {
    return check > 0 || isAudited(this.#options.order.settings, step, shard);
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
