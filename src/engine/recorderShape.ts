import { typed } from "./graph.js";
import type { RecordedKernel } from "./recorderKernel.js";

/** Kernels that reduce, move or repeat elements. */
export const shapeKernels: Readonly<Record<string, RecordedKernel>> = {
  Sum: reduction("Sum", "axis"),
  Mean: reduction("Mean", "axis"),
  Max: reduction("Max", "reductionIndices"),
  ArgMax: ({ graph, input, numbers }) => {
    const x = input("x");
    const [axis = 0] = numbers("axis");
    const attributes = {
      ...typed("T", x.type),
      ...typed("Tidx", "int32"),
      ...typed("output_type", "int32"),
    };
    const shape = x.shape.toSpliced(axis, 1);
    const dimension = graph.constant(Int32Array.of(axis), []);
    return graph.add("ArgMax", [x, dimension], attributes, { type: "int32", shape });
  },
  Reshape: ({ graph, input, numbers }) => {
    const x = input("x");
    const wanted = numbers("shape");
    const [all, known] = [product(x.shape), product(wanted.filter((extent) => extent !== -1))];
    const shape = wanted.map((extent) => (extent === -1 ? all / known : extent));
    return graph.reshape(x, shape);
  },
  Tile: ({ graph, input, numbers }) => {
    const x = input("x");
    const repeats = numbers("reps");
    const shape = x.shape.map((extent, axis) => extent * (repeats[axis] ?? 1));
    const attributes = { ...typed("T", x.type), ...typed("Tmultiples", "int32") };
    return graph.add("Tile", [x, graph.integers(repeats)], attributes, { type: x.type, shape });
  },
  PadV2: ({ graph, input, numbers, number }) => {
    const x = input("x");
    const sides = numbers("paddings");
    const shape = x.shape.map(
      (extent, axis) => extent + (sides[2 * axis] ?? 0) + (sides[2 * axis + 1] ?? 0),
    );
    const paddings = graph.constant(Int32Array.from(sides), [x.shape.length, 2]);
    const attributes = { ...typed("T", x.type), ...typed("Tpaddings", "int32") };
    const value = graph.scalar(number("constantValue"));
    return graph.add("PadV2", [x, paddings, value], attributes, { type: x.type, shape });
  },
  Slice: ({ graph, input, numbers }) => {
    const x = input("x");
    const [begin, size] = [numbers("begin"), numbers("size")];
    const shape = size.map((extent, axis) =>
      extent === -1 ? (x.shape[axis] ?? 0) - (begin[axis] ?? 0) : extent,
    );
    const attributes = { ...typed("T", x.type), ...typed("Index", "int32") };
    const inputs = [x, graph.integers(begin), graph.integers(shape)];
    return graph.add("Slice", inputs, attributes, { type: x.type, shape });
  },
  OneHot: ({ graph, input, number }) => {
    const indices = input("indices");
    const depth = number("depth");
    const inputs = [
      indices,
      graph.constant(Int32Array.of(depth), []),
      graph.scalar(number("onValue")),
      graph.scalar(number("offValue")),
    ];
    const attributes = { ...typed("T", "float32"), ...typed("TI", "int32"), axis: { i: -1 } };
    const shape = [...indices.shape, depth];
    return graph.add("OneHot", inputs, attributes, { type: "float32", shape });
  },
};

function reduction(op: string, axesName: string): RecordedKernel {
  return ({ graph, input, axes, flag }) => {
    const x = input("x");
    return graph.reduce(op, x, axes(x, axesName), flag("keepDims"));
  };
}

function product(extents: readonly number[]): number {
  return extents.reduce((result, extent) => result * extent, 1);
}
