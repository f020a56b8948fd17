import { shapeProto, text, typed, type Graph, type Output } from "./graph.js";

/** A float32 tensor that stays on the device between runs: a resource variable of the graph. */
export class Variable {
  readonly shape: readonly number[];
  readonly handle: Output;
  readonly #graph: Graph;

  constructor(graph: Graph, name: string, shape: readonly number[]) {
    this.#graph = graph;
    this.shape = shape;
    const attributes = {
      ...typed("dtype", "float32"),
      shape: { shape: shapeProto(shape) },
      shared_name: text(name),
      container: text(""),
    };
    this.handle = graph.add("VarHandleOp", [], attributes, { type: "resource", shape: [] });
  }

  /** The value, read after every node in `after`. */
  read(after: readonly Output[] = []): Output {
    const result = { type: "float32", shape: this.shape } as const;
    return this.#graph.add(
      "ReadVariableOp",
      [this.handle],
      typed("dtype", "float32"),
      result,
      after,
    );
  }

  /** The variable takes over `value`'s memory, so that must not be memory of the host's. */
  assign(value: Output, after: readonly Output[] = []): Output {
    return this.#change("AssignVariableOp", value, after);
  }

  add(value: Output): Output {
    return this.#change("AssignAddVariableOp", value, []);
  }

  #change(op: string, value: Output, after: readonly Output[]): Output {
    const result = { type: "resource", shape: [] } as const; // Only ever waited for.
    return this.#graph.add(op, [this.handle, value], typed("dtype", "float32"), result, after);
  }
}
