import type { TensorSpec } from "../bit/architecture.js";
import { typed, type Graph, type Output } from "./graph.js";
import type { Recorder } from "./recorder.js";
import type { Signature } from "./signature.js";
import { isStandardized, standardize, standardizeGradient } from "./standardize.js";
import type { TensorFlow } from "./tensorflow.js";
import { Variable } from "./variable.js";

/**
 * Parameters, momentum and gradient sum as variables of a graph, and the signatures that move them
 * and update them. Vectors cross tensor by tensor: a flat one would need a second copy on the
 * device, and the largest model's has 3.7 GB. No constant in the graph is larger than a shape.
 */
export class RecordedState {
  /** What the model computes with: the parameters, of kernels the standardized ones. */
  readonly weights: ReadonlyMap<string, Variable>;
  readonly #parameters: ReadonlyMap<string, Variable>;
  readonly #momentum: ReadonlyMap<string, Variable>;
  readonly #sums: ReadonlyMap<string, Variable>;
  readonly #lossSum: Variable;
  readonly #zero: Variable;
  readonly #tf: TensorFlow;
  readonly #graph: Graph;
  readonly #recorder: Recorder;
  /** A flat vector's tensors as they are fed, as int32. */
  readonly #fed: Readonly<Record<string, Output>>;

  constructor(tf: TensorFlow, graph: Graph, recorder: Recorder, tensors: readonly TensorSpec[]) {
    this.#tf = tf;
    this.#graph = graph;
    this.#recorder = recorder;
    const variables = (kind: string, some = tensors): Map<string, Variable> =>
      new Map(some.map(({ name, shape }) => [name, new Variable(graph, `${kind}/${name}`, shape)]));
    this.#parameters = variables("parameter");
    const kernels = variables(
      "standardized",
      tensors.filter(({ name }) => isStandardized(name)),
    );
    this.weights = new Map([...this.#parameters, ...kernels]);
    this.#momentum = variables("momentum");
    this.#sums = variables("sum");
    this.#lossSum = new Variable(graph, "lossSum", []);
    this.#zero = new Variable(graph, "zero", []);
    this.#fed = Object.fromEntries(
      tensors.map(({ name, shape }) => [name, graph.placeholder("int32", shape)]),
    );
  }

  /** Clears the accumulator of a session just loaded. */
  initialize(): Signature {
    const zero = this.#zero.assign(this.#graph.scalar(0));
    const cleared = this.#accumulators().map((sum) => sum.assign(this.#zeros(sum, [zero])));
    return { inputs: {}, outputs: { done: this.#done(cleared) } };
  }

  /** Adds the gradients of one micro-batch and its loss to the accumulator. */
  accumulate(
    inputs: Signature["inputs"],
    gradients: ReadonlyMap<string, Output>,
    loss: Output,
  ): Signature {
    const added = [...this.#sums].map(([name, sum]) => sum.add(found(gradients, name)));
    return { inputs, outputs: { done: this.#done([...added, this.#lossSum.add(loss)]) } };
  }

  /**
   * Fetches the accumulator and clears it; `finite` is 1 if all of it are numbers. A tensor's sum
   * tells: infinities and NaN never leave it finite, and numbers only overflow it at 1e38.
   */
  take(): Signature {
    const graph = this.#graph;
    const outputs: Record<string, Output> = {};
    const totals: Output[] = [];
    const cleared: Output[] = [];
    for (const [name, variable] of [...this.#sums, [lossSumName, this.#lossSum] as const]) {
      const value = variable.read();
      outputs[name] = value;
      totals.push(graph.reduceAll("Sum", value));
      cleared.push(variable.assign(this.#zeros(variable), [value]));
    }
    const packed = graph.pack(totals);
    const result = { type: "bool", shape: packed.shape } as const;
    const isFinite = graph.add("IsFinite", [packed], typed("T", packed.type), result);
    const finite = graph.cast(graph.reduceAll("All", isFinite), "int32");
    return { inputs: {}, outputs: { ...outputs, finite: this.#after(finite, cleared) } };
  }

  /** One update from the fed sum; gives the parameters' bit sums after it. */
  apply(): Signature {
    const [tf, graph] = [this.#tf, this.#graph];
    const fed = graph.placeholder("int32", [4]);
    const [count, rate, keep, decay] = unpack(graph, graph.bitcast(fed, "float32"));
    const tensor = this.#recorder.tensor;
    const reads = new Map<string, Output>();
    const refreshed: Output[] = [];
    for (const [name, parameter] of this.#parameters) {
      const weight = tensor(parameter.read());
      const mean = tf.div(tensor(this.#value(name)), tensor(count));
      const gradient = isStandardized(name) ? standardizeGradient(tf, weight, mean) : mean;
      const decayed = tf.add(gradient, tf.mul(weight, tensor(decay)));
      const inputs = [
        parameter.handle,
        found(this.#momentum, name).handle,
        rate,
        this.#recorder.output(decayed),
        keep,
      ];
      const nothing = { type: "resource", shape: [] } as const;
      const updated = graph.add("ResourceApplyMomentum", inputs, typed("T", "float32"), nothing);
      const read = parameter.read([updated]);
      reads.set(name, read);
      refreshed.push(...this.#refresh(name, read));
    }
    return {
      inputs: { ...this.#fed, [updateName]: fed },
      outputs: { sums: this.#after(this.#bitSums(reads), refreshed) },
    };
  }

  /** The sum of each parameter tensor's bits. */
  checksum(): Signature {
    const reads = new Map(Object.entries(values(this.#parameters)));
    return { inputs: {}, outputs: { sums: this.#bitSums(reads) } };
  }

  readParameters(): Signature {
    return { inputs: {}, outputs: values(this.#parameters) };
  }

  readMomentum(): Signature {
    return { inputs: {}, outputs: values(this.#momentum) };
  }

  writeParameters(): Signature {
    const written = [...this.#parameters].flatMap(([name, parameter]) => {
      const value = this.#copied(name);
      return [parameter.assign(value), ...this.#refresh(name, value)];
    });
    return { inputs: this.#fed, outputs: { done: this.#done(written) } };
  }

  writeMomentum(): Signature {
    const written = [...this.#momentum].map(([name, momentum]) =>
      momentum.assign(this.#copied(name)),
    );
    return { inputs: this.#fed, outputs: { done: this.#done(written) } };
  }

  clearMomentum(): Signature {
    const cleared = [...this.#momentum.values()].map((momentum) =>
      momentum.assign(this.#zeros(momentum)),
    );
    return { inputs: {}, outputs: { done: this.#done(cleared) } };
  }

  /** Brings the standardized kernel up to date with its parameter, if `name` is a kernel. */
  #refresh(name: string, parameter: Output): readonly Output[] {
    if (!isStandardized(name)) return [];
    const kernel = standardize(this.#tf, this.#recorder.tensor(parameter));
    return [found(this.weights, name).assign(this.#recorder.output(kernel))];
  }

  /** A variable takes over the memory that it is given, and what is fed may be the caller's. */
  #copied(name: string): Output {
    const value = this.#value(name);
    return this.#graph.add("DeepCopy", [value], typed("T", value.type), value);
  }

  /** The fed tensor `name` as float32. */
  #value(name: string): Output {
    const fed = this.#fed[name];
    if (fed === undefined) throw new Error(`no tensor ${name}`);
    return this.#graph.bitcast(fed, "float32");
  }

  /**
   * Per tensor the sum of its bits as int64, shown as (tensors, 2) int32 words, low word first.
   * In int64 because a GPU adds up int32 only on the host.
   */
  #bitSums(parameters: ReadonlyMap<string, Output>): Output {
    const graph = this.#graph;
    const sums = [...parameters.values()].map((parameter) => {
      const bits = graph.bitcast(parameter, "int32");
      return graph.reduceAll("Sum", graph.cast(bits, "int64"));
    });
    const packed = graph.pack(sums);
    return graph.bitcast(packed, "int32", [...packed.shape, 2]);
  }

  /**
   * Zeros made anew at every run. From a variable, because from constants TensorFlow would make
   * them once and keep them for good.
   */
  #zeros({ shape }: Variable, after: readonly Output[] = []): Output {
    const inputs = [this.#graph.integers(shape), this.#zero.read(after)];
    const attributes = { ...typed("T", "float32"), ...typed("index_type", "int32") };
    return this.#graph.add("Fill", inputs, attributes, { type: "float32", shape });
  }

  #accumulators(): readonly Variable[] {
    return [...this.#sums.values(), this.#lossSum];
  }

  /** Something to fetch, for a run that is wanted for what it changes. */
  #done(after: readonly Output[]): Output {
    return this.#after(this.#graph.constant(Int32Array.of(1), []), after);
  }

  #after(value: Output, after: readonly Output[]): Output {
    return this.#graph.add("Identity", [value], typed("T", value.type), value, after);
  }
}

/** The output of `take` beside the tensors. */
export const lossSumName = "lossSum";
/** The input of `apply` beside the tensors: count, rate, momentum, weight decay as float32 bits. */
export const updateName = "update";

function values(variables: ReadonlyMap<string, Variable>): Readonly<Record<string, Output>> {
  return Object.fromEntries([...variables].map(([name, variable]) => [name, variable.read()]));
}

function found<Value>(map: ReadonlyMap<string, Value>, name: string): Value {
  const value = map.get(name);
  if (value === undefined) throw new Error(`no tensor ${name}`);
  return value;
}

/** The four elements of a vector as scalars. */
function unpack(graph: Graph, vector: Output): readonly [Output, Output, Output, Output] {
  const attributes = { ...typed("T", vector.type), num: { i: 4 }, axis: { i: 0 } };
  const first = graph.add("Unpack", [vector], attributes, { type: vector.type, shape: [] });
  const nth = (index: number): Output => ({ ...first, index });
  return [first, nth(1), nth(2), nth(3)];
}
