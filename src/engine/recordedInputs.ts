import type { EngineSpec } from "./engine.js";
import { typed, type Graph, type Output } from "./graph.js";
import { mixed, normalized, targets } from "./loss.js";
import type { Recorder } from "./recorder.js";
import type { Tensor, Tensor1D, Tensor4D, TensorFlow } from "./tensorflow.js";

/**
 * What a run is fed with. Everything arrives as int32 and is read as another type in the graph:
 * tfjs keeps int32 tensors on the host and copies every other type to the device and back first.
 */
export interface Inputs {
  readonly placeholders: Readonly<Record<string, Output>>;
}

export interface ExampleInputs extends Inputs {
  readonly images: Tensor4D;
  readonly labels: Tensor1D;
  readonly weights: Tensor1D;
}

export interface TrainingInputs extends Inputs {
  readonly images: Tensor4D;
  readonly wanted: Tensor;
  readonly weights: Tensor1D;
}

/** Builds the inputs of the examples of one micro-batch. */
export class InputBuilder {
  readonly #tf: TensorFlow;
  readonly #spec: EngineSpec;
  readonly #graph: Graph;
  readonly #recorder: Recorder;
  readonly #placeholders: Record<string, Output> = {};

  constructor(tf: TensorFlow, spec: EngineSpec, graph: Graph, recorder: Recorder) {
    this.#tf = tf;
    this.#spec = spec;
    this.#graph = graph;
    this.#recorder = recorder;
  }

  examples(): ExampleInputs {
    return {
      images: this.images("images"),
      labels: this.#labels("labels"),
      weights: this.#vector(this.#floats("weights", [this.#spec.microBatch])),
      placeholders: this.#placeholders,
    };
  }

  /** With MixUp, the pictures and labels are already mixed with their partners'. */
  training(): TrainingInputs {
    const { images, labels, weights, placeholders } = this.examples();
    const tf = this.#tf;
    const { classes, mixup } = this.#spec;
    const wanted = targets(tf, labels, classes);
    if (!mixup) return { images, wanted, weights, placeholders };

    const partnerWanted = targets(tf, this.#labels("partnerLabels"), classes);
    const lambda = this.#recorder.tensor(this.#floats("lambda", []));
    return {
      images: mixed(tf, images, this.images("partnerImages"), lambda),
      wanted: mixed(tf, wanted, partnerWanted, lambda),
      weights,
      placeholders,
    };
  }

  images(name: string): Tensor4D {
    const { side, microBatch, pixels = "bytes" } = this.#spec;
    const shape = [microBatch, side, side, 3];
    if (pixels === "floats") return this.#pictures(this.#floats(name, shape));

    const graph = this.#graph;
    const byteCount = microBatch * side * side * 3;
    const words = this.#placeholder(name, [Math.ceil(byteCount / 4)]);
    const quads = graph.bitcast(words, "uint8", [...words.shape, 4]);
    const padded = graph.reshape(quads, [4 * Math.ceil(byteCount / 4)]);
    const bytes = graph.reshape(firstOf(graph, padded, byteCount), shape);
    return normalized(this.#tf, this.#pictures(graph.cast(bytes, "float32")));
  }

  get placeholders(): Readonly<Record<string, Output>> {
    return this.#placeholders;
  }

  #labels(name: string): Tensor1D {
    return this.#vector(this.#placeholder(name, [this.#spec.microBatch]));
  }

  /** The rank of an output is that of its shape, which the types do not know. */
  #vector(output: Output): Tensor1D {
    return this.#recorder.tensor(output) as Tensor1D;
  }

  #pictures(output: Output): Tensor4D {
    return this.#recorder.tensor(output) as Tensor4D;
  }

  #floats(name: string, shape: readonly number[]): Output {
    return this.#graph.bitcast(this.#placeholder(name, shape), "float32");
  }

  #placeholder(name: string, shape: readonly number[]): Output {
    const placeholder = this.#graph.placeholder("int32", shape);
    this.#placeholders[name] = placeholder;
    return placeholder;
  }
}

function firstOf(graph: Graph, x: Output, count: number): Output {
  if (x.shape[0] === count) return x;
  const attributes = { ...typed("T", x.type), ...typed("Index", "int32") };
  const inputs = [x, graph.integers([0]), graph.integers([count])];
  return graph.add("Slice", inputs, attributes, { type: x.type, shape: [count] });
}
