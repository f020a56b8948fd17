import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import { tensors, type TensorSpec } from "../bit/architecture.js";
import { assert } from "../job/problem.js";
import { joinedChecksum } from "./checksum.js";
import type { Batch, Engine, EngineSpec, ParameterState, TrainingBatch, Update } from "./engine.js";
import { lossSumName, updateName } from "./recordedState.js";
import { recordEngine, type SignatureName, type Signatures } from "./recording.js";
import { Session } from "./session.js";
import type { TensorFlow } from "./tensorflow.js";

/**
 * The engine of the workers: records the model as a TensorFlow graph, writes it as a SavedModel to
 * a new folder inside `scratchFolder`, and loads it. Parameters are undefined until `write`.
 */
export function createEngine(tf: TensorFlow, spec: EngineSpec, scratchFolder: string): Engine {
  return new RecordedEngine(tf, spec, scratchFolder);
}

/** The model as one TensorFlow graph, its state on the device. */
class RecordedEngine implements Engine {
  readonly parameterCount: number;
  readonly #spec: EngineSpec;
  readonly #folder: string;
  readonly #session: Session;
  readonly #signatures: Signatures;
  readonly #tensors: ReadonlyMap<string, TensorSpec>;

  constructor(tf: TensorFlow, spec: EngineSpec, scratchFolder: string) {
    this.#spec = spec;
    const table = tensors(spec.architecture, spec.classes);
    this.#tensors = new Map(table.map((tensor) => [tensor.name, tensor]));
    this.parameterCount = table.reduce((total, { size }) => total + size, 0);

    const recording = recordEngine(tf, spec);
    this.#signatures = recording.signatures;
    this.#folder = mkdtempSync(path.join(scratchFolder, "recording-"));
    writeFileSync(path.join(this.#folder, "saved_model.pb"), recording.savedModel);
    this.#session = new Session(tf, this.#folder);
    this.#run("initialize");
  }

  write(parameters: Float32Array, momentum: Float32Array | undefined): void {
    this.#run("writeParameters", this.#slices(parameters));
    if (momentum === undefined) this.#run("clearMomentum");
    else this.#run("writeMomentum", this.#slices(momentum));
  }

  read(): ParameterState {
    const parameters = new Float32Array(this.parameterCount);
    const momentum = new Float32Array(this.parameterCount);
    this.#run("readParameters", noFeeds, this.#into(parameters));
    this.#run("readMomentum", noFeeds, this.#into(momentum));
    return { parameters, momentum };
  }

  accumulate(batch: TrainingBatch): void {
    this.#run("accumulate", (name) => trainingFeed(batch, name));
  }

  take(into: Float32Array): { readonly lossSum: number; readonly finite: boolean } {
    let [lossSum, finite] = [0, false];
    const gradient = this.#into(into);
    this.#run("take", noFeeds, (name, values) => {
      if (name === lossSumName) lossSum = values[0] ?? NaN;
      else if (name === "finite") finite = values[0] === 1;
      else gradient(name, values);
    });
    return { lossSum, finite };
  }

  apply(sum: Float32Array, { count, rate, momentum, weightDecay }: Update): number {
    const update = bits(Float32Array.of(count, rate, momentum, weightDecay));
    const slices = this.#slices(sum);
    return this.#checksum("apply", (name) => (name === updateName ? update : slices(name)));
  }

  parameterChecksum(): number {
    return this.#checksum("checksum", noFeeds);
  }

  evaluate(batch: Batch): { readonly correct: number; readonly lossSum: number } {
    const result = new Map<string, number>();
    this.#run(
      "evaluate",
      (name) => trainingFeed(batch, name),
      (name, values) => result.set(name, values[0] ?? NaN),
    );
    return { correct: result.get("correct") ?? NaN, lossSum: result.get("lossSum") ?? NaN };
  }

  logits(images: Uint8Array): Float32Array {
    const { microBatch, classes } = this.#spec;
    const result = new Float32Array(microBatch * classes);
    this.#run(
      "logits",
      () => words(images),
      (_, values) => result.set(values),
    );
    return result;
  }

  dispose(): void {
    this.#session.dispose();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #run(
    name: SignatureName,
    feeds: (name: string) => Int32Array = noFeeds,
    receive: (name: string, values: Float32Array | Int32Array) => void = () => undefined,
  ): void {
    this.#session.run(this.#signatures[name], feeds, receive);
  }

  #checksum(name: "apply" | "checksum", feeds: (name: string) => Int32Array): number {
    let checksum = 0;
    this.#run(name, feeds, (_, values) => {
      checksum = joinedChecksum(values.filter((_word, index) => index % 2 === 0)); // Low words.
    });
    return checksum;
  }

  /** Feeds each tensor with its part of `flat`, in place. */
  #slices(flat: Float32Array): (name: string) => Int32Array {
    this.#assertLength(flat);
    return (name) => {
      const { offset, size } = this.#tensor(name);
      return bits(flat.subarray(offset, offset + size));
    };
  }

  /** Puts each tensor at its place in `flat`. */
  #into(flat: Float32Array): (name: string, values: Float32Array | Int32Array) => void {
    this.#assertLength(flat);
    return (name, values) => flat.set(values, this.#tensor(name).offset);
  }

  #assertLength({ length }: Float32Array): void {
    assert(
      length === this.parameterCount,
      `${length} values for ${this.parameterCount} parameters`,
    );
  }

  #tensor(name: string): TensorSpec {
    const tensor = this.#tensors.get(name);
    assert(tensor !== undefined, `no tensor ${name}`);
    return tensor;
  }
}

function trainingFeed(batch: TrainingBatch, name: string): Int32Array {
  switch (name) {
    case "images":
      return words(batch.images);
    case "labels":
      return batch.labels;
    case "weights":
      return bits(batch.weights);
    case "partnerImages":
      assert(batch.partnerImages !== undefined, "MixUp needs partners");
      return words(batch.partnerImages);
    case "partnerLabels":
      assert(batch.partnerLabels !== undefined, "MixUp needs the partners' labels");
      return batch.partnerLabels;
    case "lambda":
      assert(batch.lambda !== undefined, "MixUp needs lambda");
      return bits(Float32Array.of(batch.lambda));
    default:
      throw new Error(`nothing to feed ${name} with`);
  }
}

function noFeeds(name: string): Int32Array {
  throw new Error(`nothing to feed ${name} with`);
}

/** The same memory as int32. */
function bits(values: Float32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}

/** Four bytes to a word: in place where the memory allows it, else a padded copy. */
function words(bytes: Uint8Array): Int32Array {
  const count = Math.ceil(bytes.length / 4);
  if (bytes.byteOffset % 4 === 0 && bytes.length % 4 === 0) {
    return new Int32Array(bytes.buffer, bytes.byteOffset, count);
  }
  const padded = new Uint8Array(4 * count);
  padded.set(bytes);
  return new Int32Array(padded.buffer);
}
