import { parameterCount, type Architecture } from "../bit/architecture.js";

/**
 * What a worker will need, in bytes: an estimate for people, right to within a factor of two, never
 * a limit. Counted are the process with TensorFlow; the flat vectors (on the device parameters,
 * momentum, accumulator, gradient and the sum that leaves it, on the host the nodes and segments of
 * a step); and the activations that the backward pass needs, half as much again for its temporaries.
 */
export function expectedMemory(
  model: Architecture,
  classes: number,
  side: number,
  microBatch: number,
): number {
  const flat = floatBytes * parameterCount(model, classes);
  const activations = floatBytes * microBatch * activationCount(model, side);
  return processBytes + flatVectors * flat + 1.5 * activations;
}

const floatBytes = 4;
const processBytes = 350e6;
const flatVectors = 10;

/** Elements that one picture's forward pass leaves for its backward pass. */
function activationCount({ units, width }: Architecture, side: number): number {
  const root = 64 * width;
  let height = halved(side);
  let count = height ** 2 * root; // The 7x7 convolution; the pooling follows.
  height = halved(height);
  let channels = root;
  count += height ** 2 * channels;
  units.forEach((unitCount, block) => {
    const middle = root * 2 ** block;
    for (let unit = 0; unit < unitCount; unit += 1) {
      const below = block > 0 && unit === 0 ? halved(height) : height;
      const outputs = channels === 4 * middle ? 1 : 2; // A projection is a second output.
      // Normalised input; two normalised 1x1 and 3x3 results each; the unit's output.
      count += height ** 2 * (channels + 2 * middle);
      count += below ** 2 * (2 * middle + outputs * 4 * middle);
      height = below;
      channels = 4 * middle;
    }
  });
  return count;
}

/** The side after a stride of 2. */
function halved(side: number): number {
  return Math.ceil(side / 2);
}
