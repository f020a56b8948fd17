import { groupCount } from "../bit/architecture.js";
import { ownGradient } from "./ownGradient.js";
import type { Tensor, Tensor4D, TensorFlow } from "./tensorflow.js";

const epsilon = 1e-5;

/**
 * ReLU(group norm(x)) of `x` (batch, height, width, channels) with one `gamma` and `beta` per
 * channel: 32 groups, biased variance over the pixels and channels of a group of one example. Wu
 * and He, arXiv 1803.08494.
 *
 * What touches every pixel is bound by memory, so the norm is one scale and shift per example and
 * channel, and the ReLU shares the gradient. The variance takes a second pass over the pixels:
 * E[x^2] - E[x]^2 loses so many digits in float32 that deep gradients come out 1 % wrong.
 */
export function groupNormRelu(tf: TensorFlow, x: Tensor4D, gamma: Tensor, beta: Tensor): Tensor4D {
  const [batch, height, width, channels] = x.shape;
  const perGroup = channels / groupCount;
  const pixels = height * width;
  const grouped = [batch, groupCount, perGroup];
  const affine = [1, groupCount, perGroup];
  const overPixels = [1, 2];

  /** (batch, groups, any) to one value per example and channel that broadcasts over the pixels. */
  const broadcastable = (values: Tensor): Tensor4D => {
    const full = values.shape[2] === perGroup ? values : tf.tile(values, [1, 1, perGroup]);
    return tf.reshape(full, [batch, 1, 1, channels]);
  };
  /** Mean over the pixels and channels of each group, as (batch, groups, 1). */
  const groupMean = (values: Tensor): Tensor =>
    tf.mean(tf.reshape(tf.mean(values, overPixels), grouped), 2, true);

  return ownGradient(tf, [x, gamma, beta], () => {
    const mean = groupMean(x);
    const variance = groupMean(tf.squaredDifference(x, broadcastable(mean)));
    const inverse = tf.rsqrt(tf.add(variance, epsilon));
    const scale = tf.mul(inverse, tf.reshape(gamma, affine));
    const shift = tf.sub(tf.reshape(beta, affine), tf.mul(mean, scale));
    const y = tf.relu(tf.add<Tensor4D>(tf.mul(x, broadcastable(scale)), broadcastable(shift)));
    return {
      value: y,
      saved: { x, y, gamma, mean, inverse, scale },
      gradient: (dy, saved) => {
        const dz = reluGrad(tf, dy, saved.y);
        const centred = tf.sub(saved.x, broadcastable(saved.mean));
        const sum = tf.reshape(tf.sum(dz, overPixels), grouped);
        const moment = tf.reshape(tf.sum(tf.mul(dz, centred), overPixels), grouped);

        // dx = scale dz - inverse mean(gamma dz) - normal inverse mean(gamma dz normal), the means
        // over a group: linear in dz and x, so again one factor per example and channel for each.
        const weighted = tf.reshape(saved.gamma, affine);
        const count = pixels * perGroup;
        const meanOf = (values: Tensor): Tensor =>
          tf.div(tf.sum(tf.mul(values, weighted), 2, true), count);
        const cubed = tf.mul(tf.square(saved.inverse), saved.inverse);
        const slope = tf.neg(tf.mul(cubed, meanOf(moment)));
        const offset = tf.neg(
          tf.add(tf.mul(saved.inverse, meanOf(sum)), tf.mul(saved.mean, slope)),
        );
        const dx = tf.add(
          tf.add(tf.mul(dz, broadcastable(saved.scale)), tf.mul(saved.x, broadcastable(slope))),
          broadcastable(offset),
        );
        const dGamma = tf.sum(tf.mul(moment, saved.inverse), 0);
        return [dx, tf.reshape(dGamma, [channels]), tf.reshape(tf.sum(sum, 0), [channels])];
      },
    };
  });
}

/**
 * The gradient of ReLU from its output: `dy` where `y` > 0, else 0. TensorFlow has one operation
 * for it and tfjs none, so only a recording has the short form.
 */
function reluGrad<T extends Tensor>(tf: TensorFlow, dy: T, y: T): T {
  const kernels = tf.getKernelsForBackend(tf.getBackend());
  const short = kernels.some(({ kernelName }) => kernelName === "ReluGrad");
  return short ? tf.engine().runKernel("ReluGrad", { dy, y }) : tf.mul(dy, tf.step(y));
}
