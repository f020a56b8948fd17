import { ownGradient } from "./ownGradient.js";
import type { Tensor, Tensor1D, Tensor2D, Tensor4D, TensorFlow } from "./tensorflow.js";

/** Pixel values 0..255 as the model wants them: -1..1. */
export function normalized(tf: TensorFlow, pixels: Tensor4D): Tensor4D {
  return tf.sub(tf.div(pixels, 127.5), 1);
}

/**
 * MixUp (Zhang et al., arXiv 1710.09412): lambda own + (1 - lambda) partner, for pictures already
 * normalised and for targets; `lambda` is a scalar.
 */
export function mixed<T extends Tensor>(tf: TensorFlow, own: T, partner: T, lambda: Tensor): T {
  return tf.add(tf.mul(own, lambda), tf.mul(partner, tf.sub(1, lambda)));
}

/** One row per example with a 1 at its label. */
export function targets(tf: TensorFlow, labels: Tensor1D, classes: number): Tensor {
  return tf.oneHot(labels, classes, 1, 0, "float32");
}

/**
 * Sum over the examples of weight * cross-entropy of `logits` against `wanted` (both batch,
 * classes), a scalar. The rows of `wanted` add up to 1, so with mixed rows it is MixUp's
 * lambda CE(y) + (1 - lambda) CE(partner). A weight of 0 makes an example padding.
 */
export function weightedCrossEntropy(
  tf: TensorFlow,
  logits: Tensor2D,
  wanted: Tensor,
  weights: Tensor1D,
): Tensor {
  return ownGradient(tf, [logits], () => {
    const shifted = tf.sub(logits, tf.max(logits, 1, true));
    const exponentials = tf.exp(shifted);
    const total = tf.sum(exponentials, 1, true);
    const logProbability = tf.sub(shifted, tf.log(total));
    const losses = tf.neg(tf.sum(tf.mul(wanted, logProbability), 1));
    return {
      value: tf.sum(tf.mul(losses, weights)),
      saved: { probability: tf.div(exponentials, total), wanted, weights },
      gradient: (dy, saved) => {
        const perExample = tf.mul(tf.reshape(saved.weights, [-1, 1]), dy);
        return [tf.mul(tf.sub(saved.probability, saved.wanted), perExample)];
      },
    };
  });
}

/** How many examples of weight 1 have their largest logit at their label; ties go to the first. */
export function correctCount(
  tf: TensorFlow,
  logits: Tensor2D,
  labels: Tensor1D,
  weights: Tensor1D,
): Tensor {
  const hits = tf.cast(tf.equal(tf.argMax(logits, 1), labels), "float32");
  return tf.sum(tf.mul(hits, weights));
}
