import type { Architecture } from "../bit/architecture.js";
import { assert } from "../job/problem.js";
import { groupNormRelu } from "./groupNormRelu.js";
import { ownGradient } from "./ownGradient.js";
import type { Tensor, Tensor2D, Tensor4D, TensorFlow } from "./tensorflow.js";

/**
 * BiT in tfjs operations, the one description of the model: run eagerly it is the reference of the
 * tests, run on the recording backend it becomes the graph that workers train. The reference for
 * every detail is google-research/big_transfer, bit_pytorch/models.py.
 */

/**
 * What the model computes with, by npz name and in npz layout: its parameters, but kernels of
 * convolutions standardized already (standardize.ts).
 */
export type Weights = ReadonlyMap<string, Tensor>;

/** Logits (batch, classes) of `images` (batch, side, side, 3) in [-1, 1]. */
export function forward(
  tf: TensorFlow,
  { units }: Architecture,
  weights: Weights,
  images: Tensor4D,
): Tensor2D {
  const model = new Model(tf, weights);
  let x = model.root(images);
  units.forEach((unitCount, block) => {
    for (let unit = 1; unit <= unitCount; unit += 1) {
      const stride = block > 0 && unit === 1 ? 2 : 1;
      x = model.unit(x, `resnet/block${block + 1}/unit${String(unit).padStart(2, "0")}`, stride);
    }
  });
  return model.head(x);
}

class Model {
  readonly #tf: TensorFlow;
  readonly #weights: Weights;

  constructor(tf: TensorFlow, weights: Weights) {
    this.#tf = tf;
    this.#weights = weights;
  }

  /** The pool's border is real zeros, which win over negative values: not the pool's own padding. */
  root(images: Tensor4D): Tensor4D {
    const x = this.#convolve(this.#padded(images, 3), "resnet/root_block", 2, "valid");
    return this.#tf.maxPool(this.#padded(x, 1), 3, 2, "valid");
  }

  /** A pre-activation bottleneck: 1x1, 3x3 with the stride, 1x1. No ReLU after the addition. */
  unit(x: Tensor4D, prefix: string, stride: 1 | 2): Tensor4D {
    const tf = this.#tf;
    const h = this.#normalize(x, `${prefix}/a`);
    // The projection is fed by h, the identity shortcut by x itself.
    const projected = this.#weights.has(kernelName(`${prefix}/a/proj`));
    const shortcut = projected ? this.#convolve(h, `${prefix}/a/proj`, stride, "valid") : x;

    let y = this.#convolve(h, `${prefix}/a`, 1, "valid");
    y = this.#normalize(y, `${prefix}/b`);
    // With stride 2 "same" would pad only after the picture, not on both sides.
    y =
      stride === 1
        ? this.#convolve(y, `${prefix}/b`, 1, "same")
        : this.#convolve(this.#padded(y, 1), `${prefix}/b`, stride, "valid");
    y = this.#normalize(y, `${prefix}/c`);
    y = this.#convolve(y, `${prefix}/c`, 1, "valid");
    return tf.add(y, shortcut);
  }

  head(x: Tensor4D): Tensor2D {
    const tf = this.#tf;
    const features = pixelMean(tf, this.#normalize(x, "resnet"));
    const kernel = this.#weight("resnet/head/conv2d/kernel");
    const [, , channels = 0, classes = 0] = kernel.shape;
    const logits = tf.matMul<Tensor2D>(features, tf.reshape(kernel, [channels, classes]));
    return tf.add(logits, this.#weight("resnet/head/conv2d/bias"));
  }

  #normalize(x: Tensor4D, prefix: string): Tensor4D {
    const gamma = this.#weight(`${prefix}/group_norm/gamma`);
    const beta = this.#weight(`${prefix}/group_norm/beta`);
    return groupNormRelu(this.#tf, x, gamma, beta);
  }

  #convolve(x: Tensor4D, prefix: string, stride: number, padding: "valid" | "same"): Tensor4D {
    // The table of tensors gives every kernel four axes.
    const kernel = this.#weight(kernelName(prefix)) as Tensor4D;
    return this.#tf.conv2d(x, kernel, stride, padding);
  }

  #padded(x: Tensor4D, border: number): Tensor4D {
    const sides: [number, number] = [border, border];
    return this.#tf.pad(x, [[0, 0], sides, sides, [0, 0]]);
  }

  #weight(name: string): Tensor {
    const tensor = this.#weights.get(name);
    assert(tensor !== undefined, `no weight ${name}`);
    return tensor;
  }
}

function kernelName(prefix: string): string {
  return `${prefix}/standardized_conv2d/kernel`;
}

/** Mean over the pixels of `x` as (batch, channels). */
function pixelMean(tf: TensorFlow, x: Tensor4D): Tensor2D {
  const [batch, height, width, channels] = x.shape;
  return ownGradient(tf, [x], () => ({
    value: tf.mean<Tensor2D>(x, [1, 2]),
    saved: {},
    gradient: (dy) => {
      const share = tf.reshape(tf.div(dy, height * width), [batch, 1, 1, channels]);
      return [tf.tile(share, [1, height, width, 1])];
    },
  }));
}
