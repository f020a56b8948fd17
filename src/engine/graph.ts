import {
  typeNumbers,
  type AttributeProto,
  type GraphType,
  type NodeProto,
  type ShapeProto,
} from "./savedModelProto.js";

/** One output of a node. Shapes are static: a recording is made for one micro-batch size. */
export interface Output {
  readonly node: string;
  readonly index: number;
  readonly type: GraphType;
  readonly shape: readonly number[];
}

export type Attributes = Readonly<Record<string, AttributeProto>>;

/** What a node gives back. */
export interface Result {
  readonly type: GraphType;
  readonly shape: readonly number[];
}

/** A TensorFlow graph under construction. Equal small constants are one node. */
export class Graph {
  readonly #nodes: NodeProto[] = [];
  readonly #constants = new Map<string, Output>();

  get nodes(): readonly NodeProto[] {
    return this.#nodes;
  }

  /** Appends a node that runs after its inputs and after every node in `after`. */
  add(
    op: string,
    inputs: readonly Output[],
    attributes: Attributes,
    { type, shape }: Result,
    after: readonly Output[] = [],
  ): Output {
    const name = `${op}_${this.#nodes.length}`;
    this.#nodes.push({
      name,
      op,
      input: [...inputs.map(reference), ...after.map(({ node }) => `^${node}`)],
      attr: attributes,
    });
    return { node: name, index: 0, type, shape };
  }

  constant(values: Float32Array | Int32Array, shape: readonly number[]): Output {
    const type = values instanceof Int32Array ? "int32" : "float32";
    const bytes = new Uint8Array(values.slice().buffer);
    const key = `${type} ${shape.join()} ${bytes.join()}`;
    const found = this.#constants.get(key);
    if (found !== undefined) return found;

    const tensor = {
      dtype: typeNumbers[type],
      tensorShape: shapeProto(shape),
      tensorContent: bytes,
    };
    const output = this.add(
      "Const",
      [],
      { ...typed("dtype", type), value: { tensor } },
      { type, shape },
    );
    this.#constants.set(key, output);
    return output;
  }

  /** A vector of int32, the form in which operations take shapes and axes. */
  integers(values: readonly number[]): Output {
    return this.constant(Int32Array.from(values), [values.length]);
  }

  scalar(value: number): Output {
    return this.constant(Float32Array.of(value), []);
  }

  placeholder(type: GraphType, shape: readonly number[]): Output {
    const attributes = { ...typed("dtype", type), shape: { shape: shapeProto(shape) } };
    return this.add("Placeholder", [], attributes, { type, shape });
  }

  cast(x: Output, type: GraphType): Output {
    const attributes = { ...typed("SrcT", x.type), ...typed("DstT", type) };
    return this.add("Cast", [x], attributes, { type, shape: x.shape });
  }

  /** The same bits as another type; `shape` follows from the widths of the two types. */
  bitcast(x: Output, type: GraphType, shape: readonly number[] = x.shape): Output {
    return this.add(
      "Bitcast",
      [x],
      { ...typed("T", x.type), ...typed("type", type) },
      { type, shape },
    );
  }

  reshape(x: Output, shape: readonly number[]): Output {
    if (shape.join() === x.shape.join()) return x;
    const attributes = { ...typed("T", x.type), ...typed("Tshape", "int32") };
    return this.add("Reshape", [x, this.integers(shape)], attributes, { type: x.type, shape });
  }

  /** Sum, Mean, Max, All: a reduction of `x` over `axes`. */
  reduce(op: string, x: Output, axes: readonly number[], keepDims = false): Output {
    const shape = keepDims
      ? x.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent))
      : x.shape.filter((_, axis) => !axes.includes(axis));
    const attributes = {
      ...(op === "All" ? {} : typed("T", x.type)),
      ...typed("Tidx", "int32"),
      keep_dims: { b: keepDims },
    };
    return this.add(op, [x, this.integers(axes)], attributes, { type: x.type, shape });
  }

  /** Reduces over every axis to a scalar. */
  reduceAll(op: string, x: Output): Output {
    return this.reduce(op, x, [...x.shape.keys()]);
  }

  /** Stacks tensors of one shape along a new first axis. */
  pack(values: readonly Output[]): Output {
    const [first] = values;
    if (first === undefined) throw new Error("nothing to pack");
    const attributes = { ...typed("T", first.type), N: { i: values.length }, axis: { i: 0 } };
    return this.add("Pack", values, attributes, {
      type: first.type,
      shape: [values.length, ...first.shape],
    });
  }
}

/** The name by which a node's input or a signature refers to an output. */
export function reference({ node, index }: Output): string {
  return index === 0 ? node : `${node}:${index}`;
}

export function typed<Name extends string>(
  name: Name,
  type: GraphType,
): Readonly<Record<Name, AttributeProto>> {
  // A computed key widens to `string`; there is exactly this one.
  return { [name]: { type: typeNumbers[type] } } as Readonly<Record<Name, AttributeProto>>;
}

export function text(value: string): AttributeProto {
  return { s: new TextEncoder().encode(value) };
}

export function integers(values: readonly number[]): AttributeProto {
  return { list: { i: values } };
}

export function shapeProto(shape: readonly number[]): ShapeProto {
  return { dim: shape.map((size) => ({ size })) };
}
