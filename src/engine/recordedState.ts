import type { TensorSpec } from "../bit/architecture.js";
import { typed, type Graph, type Output } from "./graph.js";
import type { Signature } from "./signature.js";
import { Variable } from "./variable.js";

/**
 * Parameters, momentum and gradient sum as variables of a graph, and the signatures that move them
 * and update them. Vectors cross tensor by tensor: a flat one would need a second copy on the
 * device, and the largest model's has 3.7 GB. No constant in the graph is larger than a shape.
 */
export class RecordedState {
  readonly parameters: ReadonlyMap<string, Variable>;
  readonly #momentum: ReadonlyMap<string, Variable>;
  readonly #sums: ReadonlyMap<string, Variable>;
  readonly #lossSum: Variable;
  readonly #zero: Variable;
  readonly #graph: Graph;
  /** A flat vector's tensors as they are fed, and the same bits as float32. */
  readonly #fed: Readonly<Record<string, Output>>;

  constructor(graph: Graph, tensors: readonly TensorSpec[]) {
    const variables = (kind: string): ReadonlyMap<string, Variable> =>
      new Map(
        tensors.map(({ name, shape }) => [name, new Variable(graph, `${kind}/${name}`, shape)]),
      );
    this.parameters = variables("parameter");
    this.#momentum = variables("momentum");
    this.#sums = variables("sum");
    this.#lossSum = new Variable(graph, "lossSum", []);
    this.#zero = new Variable(graph, "zero", []);
    this.#graph = graph;
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

  /** Fetches the accumulator and clears it; `finite` is 1 if all of it are numbers. */
  take(): Signature {
    const graph = this.#graph;
    const outputs: Record<string, Output> = {};
    const finite: Output[] = [];
    const cleared: Output[] = [];
    const fetch = (name: string, variable: Variable): void => {
      const value = variable.read();
      const isFinite = graph.add("IsFinite", [value], typed("T", value.type), {
        type: "bool",
        shape: value.shape,
      });
      outputs[name] = value;
      finite.push(graph.reduceAll("All", isFinite));
      cleared.push(variable.assign(this.#zeros(variable), [value]));
    };
    for (const [name, sum] of this.#sums) fetch(name, sum);
    fetch(lossSumName, this.#lossSum);
    const allFinite = graph.cast(graph.reduceAll("All", graph.pack(finite)), "int32");
    return { inputs: {}, outputs: { ...outputs, finite: this.#after(allFinite, cleared) } };
  }

  /** One update from the fed sum; gives the parameters' bit sums after it. */
  apply(): Signature {
    const graph = this.#graph;
    const fed = graph.placeholder("int32", [4]);
    const scalars = unpack(graph, graph.bitcast(fed, "float32"));
    const [count, rate, keep, decay] = scalars;
    const updated = new Map<string, Output>();
    for (const [name, parameter] of this.parameters) {
      const mean = binary(graph, "RealDiv", this.#value(name), count);
      const gradient = binary(graph, "AddV2", mean, binary(graph, "Mul", decay, parameter.read()));
      const momentum = found(this.#momentum, name);
      const inputs = [parameter.handle, momentum.handle, rate, gradient, keep];
      const attributes = typed("T", "float32");
      const done = { type: "resource", shape: [] } as const;
      updated.set(name, graph.add("ResourceApplyMomentum", inputs, attributes, done));
    }
    return {
      inputs: { ...this.#fed, [updateName]: fed },
      outputs: { sums: this.#bitSums((name) => [found(updated, name)]) },
    };
  }

  /** The sum of each parameter tensor's bits. */
  checksum(): Signature {
    return { inputs: {}, outputs: { sums: this.#bitSums(() => []) } };
  }

  readParameters(): Signature {
    return { inputs: {}, outputs: values(this.parameters) };
  }

  readMomentum(): Signature {
    return { inputs: {}, outputs: values(this.#momentum) };
  }

  writeParameters(): Signature {
    return this.#write(this.parameters);
  }

  writeMomentum(): Signature {
    return this.#write(this.#momentum);
  }

  clearMomentum(): Signature {
    const cleared = [...this.#momentum.values()].map((momentum) =>
      momentum.assign(this.#zeros(momentum)),
    );
    return { inputs: {}, outputs: { done: this.#done(cleared) } };
  }

  #write(variables: ReadonlyMap<string, Variable>): Signature {
    const graph = this.#graph;
    const written = [...variables].map(([name, variable]) => {
      const value = this.#value(name);
      // A variable takes over the memory that it is given, and what is fed may be the caller's.
      return variable.assign(graph.add("DeepCopy", [value], typed("T", value.type), value));
    });
    return { inputs: this.#fed, outputs: { done: this.#done(written) } };
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
  #bitSums(after: (name: string) => readonly Output[]): Output {
    const graph = this.#graph;
    const sums = [...this.parameters].map(([name, parameter]) => {
      const bits = graph.bitcast(parameter.read(after(name)), "int32");
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

function binary(graph: Graph, op: string, a: Output, b: Output): Output {
  const shape = a.shape.length >= b.shape.length ? a.shape : b.shape; // One is a scalar, or equal.
  return graph.add(op, [a, b], typed("T", a.type), { type: a.type, shape });
}

/** The four elements of a vector as scalars. */
function unpack(graph: Graph, vector: Output): readonly [Output, Output, Output, Output] {
  const attributes = { ...typed("T", vector.type), num: { i: 4 }, axis: { i: 0 } };
  const first = graph.add("Unpack", [vector], attributes, { type: vector.type, shape: [] });
  const nth = (index: number): Output => ({ ...first, index });
  return [first, nth(1), nth(2), nth(3)];
}
