import type { Tensor, TensorFlow } from "./tensorflow.js";

/**
 * Weight standardization: every output filter of a kernel (height, width, in, out) gets mean 0 and
 * biased variance 1 before it is used. Qiao et al., arXiv 1903.10520.
 *
 * The model takes kernels standardized already and gives the gradient for those. Both steps here
 * touch every weight some ten times, which for small shards takes longer than the pictures do; the
 * gradient is linear in what comes in, so one pass per update, over the sum of all shards, is
 * enough.
 */

/** Inside the square root, as in all three reference implementations (not the article's 1e-5). */
const epsilon = 1e-10;

/** Whether the parameter with this npz name is a kernel that is standardized before use. */
export function isStandardized(name: string): boolean {
  return name.endsWith("/standardized_conv2d/kernel");
}

export function standardize(tf: TensorFlow, kernel: Tensor): Tensor {
  return tf.reshape(filters(tf, kernel).normal, kernel.shape);
}

/** The gradient for `kernel` itself from the gradient for the standardized kernel. */
export function standardizeGradient(tf: TensorFlow, kernel: Tensor, gradient: Tensor): Tensor {
  const { normal, inverse } = filters(tf, kernel);
  const dy = tf.reshape(gradient, normal.shape);
  const across = tf.sub(dy, tf.mean(dy, 0, true));
  const along = tf.mul(normal, tf.mean(tf.mul(dy, normal), 0, true));
  return tf.reshape(tf.mul(tf.sub(across, along), inverse), kernel.shape);
}

/** The standardized filters as columns, and what each was scaled with. */
function filters(
  tf: TensorFlow,
  kernel: Tensor,
): { readonly normal: Tensor; readonly inverse: Tensor } {
  const weights = tf.reshape(kernel, [-1, kernel.shape.at(-1) ?? 1]);
  const centred = tf.sub(weights, tf.mean(weights, 0, true));
  const variance = tf.mean(tf.square(centred), 0, true);
  const inverse = tf.rsqrt(tf.add(variance, epsilon));
  return { normal: tf.mul(centred, inverse), inverse };
}
