import { typed, type Output } from "./graph.js";
import type { RecordedKernel } from "./recorderKernel.js";

/** Kernels that treat every element alike. */
export const elementwiseKernels: Readonly<Record<string, RecordedKernel>> = {
  Add: binary("a", "b", "AddV2"),
  Sub: binary("a", "b", "Sub"),
  Multiply: binary("a", "b", "Mul"),
  RealDiv: binary("a", "b", "RealDiv"),
  SquaredDifference: binary("a", "b", "SquaredDifference"),
  Equal: ({ graph, input }) => {
    const [a, b] = [input("a"), input("b")];
    const result = { type: "bool", shape: broadcast(a.shape, b.shape) } as const;
    return graph.add("Equal", [a, b], typed("T", a.type), result);
  },
  ReluGrad: ({ graph, input }) => {
    const dy = input("dy");
    return graph.add("ReluGrad", [dy, input("y")], typed("T", dy.type), dy);
  },
  Neg: unary("Neg"),
  Square: unary("Square"),
  Rsqrt: unary("Rsqrt"),
  Exp: unary("Exp"),
  Log: unary("Log"),
  Relu: unary("Relu"),
  Identity: ({ input }) => input("x"),
  Cast: ({ graph, input, text }) => {
    const type = text("dtype");
    if (type !== "float32" && type !== "int32") throw new Error(`cannot record a cast to ${type}`);
    return graph.cast(input("x"), type);
  },
};

function unary(op: string): RecordedKernel {
  return ({ graph, input }) => {
    const x = input("x");
    return graph.add(op, [x], typed("T", x.type), x);
  };
}

function binary(left: string, right: string, op: string): RecordedKernel {
  return ({ graph, input }) => {
    const [a, b]: readonly [Output, Output] = [input(left), input(right)];
    const shape = broadcast(a.shape, b.shape);
    return graph.add(op, [a, b], typed("T", a.type), { type: a.type, shape });
  };
}

/** NumPy's rule: aligned at the last axis, an extent of 1 or a missing one stretches. */
function broadcast(a: readonly number[], b: readonly number[]): readonly number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, index) => {
    const left = a[index - rank + a.length] ?? 1;
    const right = b[index - rank + b.length] ?? 1;
    if (left !== right && left !== 1 && right !== 1) {
      throw new Error(`shapes ${a.join("x")} and ${b.join("x")} do not broadcast`);
    }
    return left === 1 ? right : left;
  });
}
