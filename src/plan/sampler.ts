import { assert } from "../job/problem.js";
import { hash32, Random, scale32 } from "./random.js";

/**
 * Which examples a step uses, and how each is cut, flipped and mixed. Everything is a function of
 * the seed: example, crop and flip of the place in the endless sequence of passes; a MixUp partner
 * of (seed, step, shard), within the shard; the coefficient of (seed, step). Nothing depends on
 * who computes a shard.
 */
export interface SamplePlan {
  readonly seed: number;
  readonly examples: number;
  /** Examples per step, cut into `shards` equal slices. */
  readonly batch: number;
  readonly shards: number;
  /** Pictures are squashed to `resize` x `resize`, then cut to `crop` x `crop`. */
  readonly resize: number;
  readonly crop: number;
  /** Off: pictures are squashed to `crop` x `crop`, with nothing cut away. */
  readonly randomCrop: boolean;
  readonly flip: boolean;
  /** Alpha of the Beta distribution of MixUp's coefficient; 0 is off. */
  readonly mixup: number;
}

export interface Draw {
  /** Index into the training examples. */
  readonly example: number;
  /** The pass over the data that this use belongs to, from 0. */
  readonly epoch: number;
  readonly top: number;
  readonly left: number;
  readonly flip: boolean;
  /** Place within the shard of the example to mix with, another than the own one; the own one if MixUp is off. */
  readonly partner: number;
}

/** What a hash is for, so that no two uses share their bits. */
const purpose = { pass: 1, top: 2, left: 3, flip: 4, partner: 5, lambda: 6 } as const;

/** Two, since a shard may lie across the border between two passes. */
const keptPasses = 2;

/** Step `s` uses places s * batch to (s + 1) * batch - 1 of the passes; it runs on across them. */
export class Sampler {
  readonly #plan: SamplePlan;
  /** Orders of the passes used last, the newest at the end. */
  readonly #passes = new Map<number, Uint32Array>();

  constructor(plan: SamplePlan) {
    assert(plan.examples > 0, "no examples to draw from");
    assert(plan.batch % plan.shards === 0, `${plan.shards} shards of a batch of ${plan.batch}`);
    assert(plan.crop <= plan.resize, `a crop of ${plan.crop} from ${plan.resize}`);
    this.#plan = plan;
  }

  /** The examples of one shard of a step, in order. */
  draws(step: number, shard: number): readonly Draw[] {
    const { batch, shards, examples } = this.#plan;
    assert(shard >= 0 && shard < shards, `shard ${shard} of ${shards}`);
    const size = batch / shards;
    const first = step * batch + shard * size;
    const partners = this.#partners(step, shard, size);
    return Array.from(partners, (partner, slot) => {
      const epoch = Math.floor((first + slot) / examples);
      const example = this.#pass(epoch)[(first + slot) % examples] ?? 0;
      return { example, epoch, ...this.#cut(epoch, example), partner };
    });
  }

  /** MixUp's coefficient for a step, the weight of the own picture; 1 if MixUp is off. */
  lambda(step: number): number {
    const { seed, mixup } = this.#plan;
    if (mixup === 0) return 1;
    // Rounded to float32, as the engine takes it: the last bits of log and exp are not portable.
    return Math.fround(new Random(seed, purpose.lambda, step).beta(mixup, mixup));
  }

  #cut(
    epoch: number,
    example: number,
  ): { readonly top: number; readonly left: number; readonly flip: boolean } {
    const { seed, resize, crop, randomCrop, flip } = this.#plan;
    const bits = (use: number): number => hash32(seed, use, epoch, example);
    const places = resize - crop + 1;
    return {
      top: randomCrop ? scale32(bits(purpose.top), places) : 0,
      left: randomCrop ? scale32(bits(purpose.left), places) : 0,
      flip: flip && bits(purpose.flip) % 2 === 1,
    };
  }

  /** One cycle through all slots (Sattolo): a permutation in which nobody keeps its place, where there are two. */
  #partners(step: number, shard: number, size: number): Uint32Array {
    const partners = Uint32Array.from({ length: size }, (_, slot) => slot);
    const { seed, mixup } = this.#plan;
    if (mixup === 0) return partners;
    const random = new Random(seed, purpose.partner, step, shard);
    for (let i = size - 1; i > 0; i -= 1) {
      const j = random.below(i);
      [partners[i], partners[j]] = [partners[j] ?? 0, partners[i] ?? 0];
    }
    return partners;
  }

  /** The order of the examples in a pass. */
  #pass(epoch: number): Uint32Array {
    const known = this.#passes.get(epoch);
    if (known !== undefined) return known;
    const order = new Uint32Array(this.#plan.examples);
    for (let i = 0; i < order.length; i += 1) order[i] = i;
    new Random(this.#plan.seed, purpose.pass, epoch).shuffle(order);
    this.#passes.set(epoch, order);
    const [oldest] = this.#passes.keys();
    if (this.#passes.size > keptPasses && oldest !== undefined) this.#passes.delete(oldest);
    return order;
  }
}
