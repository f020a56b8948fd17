import { fnv1a32, hash32, mix32 } from "../plan/random.js";
import { tensors, type Architecture, type TensorSpec } from "./architecture.js";

/**
 * The parameters of an untrained model as the flat vector. A value depends on nothing but the seed,
 * the tensor's name and the index, so every worker makes the same ones. Kernels are uniform up to
 * sqrt(1 / fan-in), as PyTorch makes them for the reference model: standardization hides their
 * scale, but a rate acts the stronger the smaller they are. Gammas are 1, betas 0, and the head is
 * zero as BiT has it: the first loss is the logarithm of the number of classes.
 */
export function initialParameters(
  model: Architecture,
  classes: number,
  seed: number,
): Float32Array {
  const specs = tensors(model, classes);
  const last = specs.at(-1);
  const parameters = new Float32Array(last === undefined ? 0 : last.offset + last.size);
  for (const spec of specs)
    fillInitial(parameters.subarray(spec.offset, spec.offset + spec.size), spec, seed);
  return parameters;
}

/** Fills one tensor with its untrained values, such as a head for other classes. */
export function fillInitial(values: Float32Array, { name, shape }: TensorSpec, seed: number): void {
  if (name.endsWith("/gamma")) values.fill(1);
  else if (name.endsWith("/beta") || name.startsWith("resnet/head/")) values.fill(0);
  else {
    const fanIn = shape.slice(0, 3).reduce((product, extent) => product * extent, 1);
    fillUniform(values, Math.sqrt(1 / fanIn), hash32(seed, fnv1a32(name)));
  }
}

/** Uniform in [-limit, limit). Mixes twice, so that no two tensors hold shifted copies. */
function fillUniform(values: Float32Array, limit: number, key: number): void {
  const shift = mix32(key ^ 0x5bd1e995);
  for (let i = 0; i < values.length; i += 1) {
    values[i] = (mix32(mix32(i + key) ^ shift) / 2 ** 31 - 1) * limit;
  }
}
