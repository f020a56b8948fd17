import { tensors, type TensorSpec } from "../bit/architecture.js";
import { assert } from "../job/problem.js";
import { bitSum, joinedChecksum } from "./checksum.js";
import type { Batch, Engine, EngineSpec, ParameterState, TrainingBatch, Update } from "./engine.js";
import { correctCount, mixed, normalized, targets, weightedCrossEntropy } from "./loss.js";
import { forward, type Weights } from "./model.js";
import { isStandardized, standardize, standardizeGradient } from "./standardize.js";
import type { Tensor, Tensor2D, Tensor4D, TensorFlow } from "./tensorflow.js";

/**
 * The engine without a recording: every call runs the model operation by operation. It is the
 * reference that the tests and the golden command hold the recorded engine to; workers never run
 * it. State lives on the host.
 */
export class EagerEngine implements Engine {
  readonly parameterCount: number;
  readonly #tf: TensorFlow;
  readonly #spec: EngineSpec;
  readonly #tensors: readonly TensorSpec[];
  readonly #parameters: Float32Array;
  readonly #momentum: Float32Array;
  readonly #sum: Float32Array;
  #lossSum = 0;

  constructor(tf: TensorFlow, spec: EngineSpec) {
    this.#tf = tf;
    this.#spec = spec;
    this.#tensors = tensors(spec.architecture, spec.classes);
    this.parameterCount = this.#tensors.reduce((total, { size }) => total + size, 0);
    this.#parameters = new Float32Array(this.parameterCount);
    this.#momentum = new Float32Array(this.parameterCount);
    this.#sum = new Float32Array(this.parameterCount);
  }

  write(parameters: Float32Array, momentum: Float32Array | undefined): void {
    this.#parameters.set(parameters);
    if (momentum === undefined) this.#momentum.fill(0);
    else this.#momentum.set(momentum);
  }

  read(): ParameterState {
    return { parameters: this.#parameters.slice(), momentum: this.#momentum.slice() };
  }

  accumulate(batch: TrainingBatch): void {
    const tf = this.#tf;
    tf.tidy(() => {
      const { images, wanted } = this.#trainingInputs(batch);
      const shares = tf.tensor1d(batch.weights);
      const weights = this.#weights();
      const names = [...weights.keys()];
      const loss = (...values: Tensor[]): Tensor => {
        const named = new Map(names.map((name, index) => [name, at(values, index)]));
        const logits = forward(tf, this.#spec.architecture, named, images);
        return weightedCrossEntropy(tf, logits, wanted, shares);
      };
      const { value, grads } = tf.valueAndGrads(loss)([...weights.values()]);
      this.#tensors.forEach(({ offset, size }, index) => {
        const gradient = at(grads, index).dataSync<"float32">();
        const sum = this.#sum.subarray(offset, offset + size);
        for (let i = 0; i < size; i += 1) sum[i] = (sum[i] ?? 0) + (gradient[i] ?? 0);
      });
      this.#lossSum = Math.fround(this.#lossSum + scalar(value));
    });
  }

  take(into: Float32Array): { readonly lossSum: number; readonly finite: boolean } {
    into.set(this.#sum);
    const lossSum = this.#lossSum;
    this.#sum.fill(0);
    this.#lossSum = 0;
    return { lossSum, finite: Number.isFinite(lossSum) && into.every(Number.isFinite) };
  }

  apply(sum: Float32Array, { count, rate, momentum, weightDecay }: Update): number {
    const [keep = 0, decay = 0, step = 0] = [momentum, weightDecay, rate].map(Math.fround);
    const [parameters, velocities, gradients] = [
      this.#parameters,
      this.#momentum,
      this.#gradients(sum),
    ];
    for (let i = 0; i < parameters.length; i += 1) {
      const parameter = parameters[i] ?? 0;
      const gradient = (gradients[i] ?? 0) / count + decay * parameter;
      const velocity = Math.fround(keep * (velocities[i] ?? 0) + gradient);
      velocities[i] = velocity;
      parameters[i] = parameter - step * velocity;
    }
    return this.parameterChecksum();
  }

  parameterChecksum(): number {
    return joinedChecksum(
      this.#tensors.map(({ offset, size }) =>
        bitSum(this.#parameters.subarray(offset, offset + size)),
      ),
    );
  }

  evaluate(batch: Batch): { readonly correct: number; readonly lossSum: number } {
    const tf = this.#tf;
    let [correct, lossSum] = [0, 0];
    tf.tidy(() => {
      const logits = this.#forward(batch.images);
      const labels = tf.tensor1d(batch.labels, "int32");
      const weights = tf.tensor1d(batch.weights);
      const wanted = targets(tf, labels, this.#spec.classes);
      correct = scalar(correctCount(tf, logits, labels, weights));
      lossSum = scalar(weightedCrossEntropy(tf, logits, wanted, weights));
    });
    return { correct, lossSum };
  }

  logits(images: Uint8Array): Float32Array {
    let result = new Float32Array();
    this.#tf.tidy(() => {
      result = Float32Array.from(this.#forward(images).dataSync<"float32">());
    });
    return result;
  }

  dispose(): void {
    // Between calls nothing is left on the device.
  }

  #forward(images: Uint8Array): Tensor2D {
    return forward(this.#tf, this.#spec.architecture, this.#weights(), this.#images(images));
  }

  #weights(): Weights {
    const tf = this.#tf;
    return new Map(
      this.#tensors.map((spec) => {
        const parameter = this.#tensor(this.#parameters, spec);
        const kernel = isStandardized(spec.name);
        return [spec.name, kernel ? standardize(tf, parameter) : parameter];
      }),
    );
  }

  /** The gradient for the parameters from `sum`, which is one for the standardized kernels. */
  #gradients(sum: Float32Array): Float32Array {
    const tf = this.#tf;
    const gradients = sum.slice();
    for (const spec of this.#tensors) {
      if (!isStandardized(spec.name)) continue;
      // Not returned from the tidy, which would search every number for tensors.
      tf.tidy(() => {
        const parameter = this.#tensor(this.#parameters, spec);
        const gradient = standardizeGradient(tf, parameter, this.#tensor(sum, spec));
        gradients.set(gradient.dataSync<"float32">(), spec.offset);
      });
    }
    return gradients;
  }

  /** A copy, since tfjs may share an array's memory for as long as the tensor lives. */
  #tensor(flat: Float32Array, { shape, offset, size }: TensorSpec): Tensor {
    return this.#tf.tensor(flat.slice(offset, offset + size), [...shape], "float32");
  }

  #images(bytes: Uint8Array): Tensor4D {
    const { side, pixels = "bytes", microBatch } = this.#spec;
    const shape: [number, number, number, number] = [microBatch, side, side, 3];
    if (pixels === "floats") {
      return this.#tf.tensor4d(new Float32Array(bytes.slice().buffer), shape);
    }
    return normalized(this.#tf, this.#tf.tensor4d(Float32Array.from(bytes), shape));
  }

  #trainingInputs(batch: TrainingBatch): { images: Tensor4D; wanted: Tensor } {
    const tf = this.#tf;
    const { classes, mixup } = this.#spec;
    const images = this.#images(batch.images);
    const wanted = targets(tf, tf.tensor1d(batch.labels, "int32"), classes);
    if (!mixup) return { images, wanted };

    const { partnerImages, partnerLabels, lambda } = batch;
    assert(partnerImages !== undefined && partnerLabels !== undefined, "MixUp needs partners");
    assert(lambda !== undefined, "MixUp needs lambda");
    const share = tf.scalar(lambda);
    const partnerWanted = targets(tf, tf.tensor1d(partnerLabels, "int32"), classes);
    return {
      images: mixed(tf, images, this.#images(partnerImages), share),
      wanted: mixed(tf, wanted, partnerWanted, share),
    };
  }
}

function at(values: readonly Tensor[], index: number): Tensor {
  const value = values[index];
  assert(value !== undefined, `no tensor ${index} of ${values.length}`);
  return value;
}

function scalar(tensor: Tensor): number {
  return tensor.dataSync<"float32">()[0] ?? NaN;
}
