import { tensors } from "../bit/architecture.js";
import type { EngineSpec } from "./engine.js";
import { Graph, type Output } from "./graph.js";
import { correctCount, targets, weightedCrossEntropy } from "./loss.js";
import { forward } from "./model.js";
import { InputBuilder } from "./recordedInputs.js";
import { RecordedState } from "./recordedState.js";
import { record, type Recorder } from "./recorder.js";
import { encodeSavedModel } from "./savedModelProto.js";
import { signatureProto, type Signature } from "./signature.js";
import type { Tensor, Tensor4D, TensorFlow } from "./tensorflow.js";

export type SignatureName =
  | "initialize"
  | "accumulate"
  | "take"
  | "apply"
  | "evaluate"
  | "logits"
  | "readParameters"
  | "readMomentum"
  | "writeParameters"
  | "writeMomentum"
  | "clearMomentum"
  | "checksum";

export type Signatures = Readonly<Record<SignatureName, Signature>>;

/** A model as a TensorFlow graph, complete with training and state. */
export interface Recording {
  readonly signatures: Signatures;
  /** The graph as the bytes of a `saved_model.pb`. */
  readonly savedModel: Uint8Array;
}

/** Records everything that an engine for `spec` can do. The same spec gives the same bytes. */
export function recordEngine(tf: TensorFlow, spec: EngineSpec): Recording {
  const graph = new Graph();
  const signatures = record(tf, graph, (recorder): Signatures => {
    const table = tensors(spec.architecture, spec.classes);
    const state = new RecordedState(tf, graph, recorder, table);
    const weights = new Map([...state.weights].map(([name, weight]) => [name, weight.read()]));
    const model = new RecordedModel(tf, spec, graph, recorder, weights);
    return {
      initialize: state.initialize(),
      accumulate: model.accumulate(state),
      take: state.take(),
      apply: state.apply(),
      evaluate: model.evaluate(),
      logits: model.logits(),
      readParameters: state.readParameters(),
      readMomentum: state.readMomentum(),
      writeParameters: state.writeParameters(),
      writeMomentum: state.writeMomentum(),
      clearMomentum: state.clearMomentum(),
      checksum: state.checksum(),
    };
  });
  const protos = Object.fromEntries(
    Object.entries(signatures).map(([name, signature]) => [name, signatureProto(signature)]),
  );
  return { signatures, savedModel: encodeSavedModel(graph.nodes, protos) };
}

class RecordedModel {
  readonly #tf: TensorFlow;
  readonly #spec: EngineSpec;
  readonly #graph: Graph;
  readonly #recorder: Recorder;
  readonly #weights: ReadonlyMap<string, Output>;

  constructor(
    tf: TensorFlow,
    spec: EngineSpec,
    graph: Graph,
    recorder: Recorder,
    weights: ReadonlyMap<string, Output>,
  ) {
    this.#tf = tf;
    this.#spec = spec;
    this.#graph = graph;
    this.#recorder = recorder;
    this.#weights = weights;
  }

  accumulate(state: RecordedState): Signature {
    const { images, wanted, weights, placeholders } = this.#inputs().training();
    const loss = (...values: Tensor[]): Tensor =>
      weightedCrossEntropy(this.#tf, this.#forward(images, values), wanted, weights);
    const { value, grads } = this.#tf.valueAndGrads(loss)(this.#tensors());
    const names = [...this.#weights.keys()];
    const gradients = new Map<string, Output>();
    grads.forEach((gradient, index) => {
      gradients.set(names[index] ?? "", this.#recorder.output(gradient));
    });
    return state.accumulate(placeholders, gradients, this.#recorder.output(value));
  }

  evaluate(): Signature {
    const tf = this.#tf;
    const { images, labels, weights, placeholders } = this.#inputs().examples();
    const logits = this.#forward(images, this.#tensors());
    const wanted = targets(tf, labels, this.#spec.classes);
    const correct = correctCount(tf, logits, labels, weights);
    const lossSum = weightedCrossEntropy(tf, logits, wanted, weights);
    return {
      inputs: placeholders,
      outputs: {
        correct: this.#recorder.output(correct),
        lossSum: this.#recorder.output(lossSum),
      },
    };
  }

  logits(): Signature {
    const inputs = this.#inputs();
    const logits = this.#forward(inputs.images("images"), this.#tensors());
    return {
      inputs: inputs.placeholders,
      outputs: { logits: this.#recorder.output(logits) },
    };
  }

  #inputs(): InputBuilder {
    return new InputBuilder(this.#tf, this.#spec, this.#graph, this.#recorder);
  }

  #tensors(): Tensor[] {
    return [...this.#weights.values()].map((output) => this.#recorder.tensor(output));
  }

  #forward(images: Tensor4D, values: readonly Tensor[]): ReturnType<typeof forward> {
    const names = [...this.#weights.keys()];
    const weights = new Map(values.map((value, index) => [names[index] ?? "", value]));
    return forward(this.#tf, this.#spec.architecture, weights, images);
  }
}
