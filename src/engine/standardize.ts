import { ownGradient } from "./ownGradient.js";
import type { Tensor4D, TensorFlow } from "./tensorflow.js";

/** Inside the square root, as in all three reference implementations (not the article's 1e-5). */
const epsilon = 1e-10;

/**
 * Weight standardization: every output filter of `kernel` (height, width, in, out) gets mean 0 and
 * biased variance 1. Qiao et al., arXiv 1903.10520. The gradient is written out: tfjs's own would
 * be a chain of some thirty operations over every weight.
 */
export function standardize(tf: TensorFlow, kernel: Tensor4D): Tensor4D {
  const [height, width, channelsIn, channelsOut] = kernel.shape;
  const flat = [height * width * channelsIn, channelsOut];

  return ownGradient(tf, [kernel], () => {
    const weights = tf.reshape(kernel, flat);
    const centred = tf.sub(weights, tf.mean(weights, 0, true));
    const variance = tf.mean(tf.square(centred), 0, true);
    const inverse = tf.rsqrt(tf.add(variance, epsilon));
    const normal = tf.mul(centred, inverse);
    return {
      value: tf.reshape(normal, kernel.shape),
      saved: { normal, inverse },
      gradient: (dy, saved) => {
        const gradient = tf.reshape(dy, flat);
        const across = tf.sub(gradient, tf.mean(gradient, 0, true));
        const projection = tf.mean(tf.mul(gradient, saved.normal), 0, true);
        const along = tf.mul(saved.normal, projection);
        return [tf.reshape(tf.mul(tf.sub(across, along), saved.inverse), kernel.shape)];
      },
    };
  });
}
