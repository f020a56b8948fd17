import { createHash } from "node:crypto";
import { add } from "../src/exchange/add.js";
import { Random } from "../src/plan/random.js";
import type { ComputeCalls } from "./computeThread.js";
import type { LoaderCalls } from "./loaderThread.js";
import { sharedFloats, type Thread } from "./thread.js";

/** The threads of a job's process that compute and that decode. */
export interface Threads {
  readonly compute: Thread<ComputeCalls>;
  readonly loader: Thread<LoaderCalls>;
}

/**
 * What this machine makes of made-up work at the job's own shapes: decode a picture, run a shard,
 * add two sums, apply an update. Equal digests mean equal arithmetic. It also warms the device up
 * and shows at once whether the memory suffices. Leaves the engine's state to be overwritten.
 */
export async function probe(
  { compute, loader }: Threads,
  shapes: {
    readonly parameterCount: number;
    readonly side: number;
    readonly shardSize: number;
    readonly classes: number;
  },
  initial: Float32Array,
): Promise<string> {
  const digest = createHash("sha256");
  const sums = [sharedFloats(shapes.parameterCount), sharedFloats(shapes.parameterCount)] as const;
  const [picture] = await Promise.all([
    loader.call("madeUpPicture", shapes.side),
    compute.call("write", { parameters: initial, momentum: undefined }),
  ]);
  digest.update(picture);
  for (const [i, into] of sums.entries()) {
    const batch = madeUpBatch(shapes, i);
    const result = await compute.call("shard", { batch, lambda: 1, into, isLast: false });
    digest.update(Float32Array.of(result.loss));
    digest.update(into);
  }
  const sum = sharedFloats(shapes.parameterCount);
  add(sum, sums[0], sums[1]);
  const update = { count: 2 * shapes.shardSize, rate: 0.01, momentum: 0.9, weightDecay: 1e-4 };
  digest.update(Uint32Array.of(await compute.call("apply", { sum, ...update })));
  return digest.digest("hex");
}

function madeUpBatch(
  shapes: { readonly side: number; readonly shardSize: number; readonly classes: number },
  seed: number,
): { readonly images: Uint8Array; readonly labels: Int32Array } {
  const random = new Random(seed, 0x70726f62);
  const { side, shardSize, classes } = shapes;
  const images = new Uint8Array(shardSize * side * side * 3);
  for (let i = 0; i < images.length; i += 1) images[i] = random.uint32() >>> 24;
  return { images, labels: Int32Array.from({ length: shardSize }, (_, i) => i % classes) };
}
