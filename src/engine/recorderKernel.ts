import type { Graph, Output } from "./graph.js";
import type { NamedAttrMap } from "./tensorflow.js";

/** One call of a tfjs kernel: where to append, what goes in, and the kernel's attributes. */
export interface KernelCall {
  readonly graph: Graph;
  readonly input: (name: string) => Output;
  readonly text: (name: string) => string;
  readonly flag: (name: string) => boolean;
  readonly number: (name: string) => number;
  /** A list, nested ones flattened, or one number standing for `count` equal ones. */
  readonly numbers: (name: string, count?: number) => readonly number[];
  /** The axes of `x` that an attribute names, counted from 0; null means all. */
  readonly axes: (x: Output, name: string) => readonly number[];
}

/** Appends what the kernel computes to the graph. */
export type RecordedKernel = (call: KernelCall) => Output;

export function kernelCall(
  graph: Graph,
  input: (name: string) => Output,
  attributes: NamedAttrMap,
): KernelCall {
  const wrong = (name: string): Error =>
    new Error(`cannot record attribute ${name} = ${JSON.stringify(attributes[name])}`);

  const numbers = (name: string, count = 1): readonly number[] => {
    const value: unknown = attributes[name];
    if (typeof value === "number") return Array<number>(count).fill(value);
    if (!Array.isArray(value)) throw wrong(name);
    return value.flat().map((item: unknown) => {
      if (typeof item !== "number") throw wrong(name);
      return item;
    });
  };

  return {
    graph,
    input,
    numbers,
    text(name) {
      const value = attributes[name];
      if (typeof value !== "string") throw wrong(name);
      return value;
    },
    flag: (name) => attributes[name] === true,
    number(name) {
      const value = attributes[name];
      if (typeof value !== "number") throw wrong(name);
      return value;
    },
    axes({ shape }, name) {
      const given: unknown = attributes[name];
      if (given === null) return [...shape.keys()];
      return numbers(name).map((axis) => (axis < 0 ? axis + shape.length : axis));
    },
  };
}
