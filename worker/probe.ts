import { createHash } from "node:crypto";
import sharp from "sharp";
import { decodePicture } from "../src/data/picture.js";
import { squash } from "../src/data/resize.js";
import { add } from "../src/exchange/add.js";
import { Random } from "../src/plan/random.js";
import type { ComputeCalls } from "./computeThread.js";
import { sharedFloats, type Thread } from "./thread.js";

/**
 * What this machine makes of made-up work at the job's own shapes: decode a picture, run a shard,
 * add two sums, apply an update. Equal digests mean equal arithmetic. It also warms the device up
 * and shows at once whether the memory suffices. Leaves the engine's state to be overwritten.
 */
export async function probe(
  compute: Thread<ComputeCalls>,
  shapes: {
    readonly parameterCount: number;
    readonly side: number;
    readonly shardSize: number;
    readonly classes: number;
  },
  initial: Float32Array,
): Promise<string> {
  const digest = createHash("sha256");
  digest.update(await decodedPicture(shapes.side));
  const sums = [sharedFloats(shapes.parameterCount), sharedFloats(shapes.parameterCount)] as const;
  await compute.call("write", { parameters: initial, momentum: undefined });
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

/** The same JPEG everywhere, made here so that no file is needed, decoded and resized as data is. */
async function decodedPicture(side: number): Promise<Uint8Array> {
  const random = new Random(0x9e3779b9);
  const coarse = Uint8Array.from({ length: 12 * 8 * 3 }, () => random.below(256));
  const raw = { width: 12, height: 8, channels: 3 } as const;
  const jpeg = await sharp(coarse, { raw }).resize(96, 64).jpeg({ quality: 90 }).toBuffer();
  return squash(await decodePicture(jpeg, "the probe's picture"), side, side).pixels;
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
