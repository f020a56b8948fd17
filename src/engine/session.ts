import {
  nativeBackend,
  type NodeJSKernelBackend,
  type Tensor,
  type TensorFlow,
} from "./tensorflow.js";
import { reference, type Output } from "./graph.js";
import type { Signature } from "./signature.js";

/**
 * A loaded SavedModel. All its signatures run in one TensorFlow session, so its variables persist
 * from run to run. tfjs-node's own wrapper reads the whole file again for every signature and
 * wants a promise; the backend's three calls below it do not.
 */
export class Session {
  readonly #tf: TensorFlow;
  readonly #backend: NodeJSKernelBackend;
  readonly #id: number;

  /** Loads the SavedModel in `folder`; the files are not needed any more afterwards. */
  constructor(tf: TensorFlow, folder: string) {
    this.#tf = tf;
    this.#backend = nativeBackend(tf);
    this.#id = this.#backend.loadSavedModelMetaGraph(folder, "serve");
  }

  /**
   * Runs one signature to its end. `feeds` has the bits of every input as int32 in C order;
   * `receive` is called once per output, in order, with values that it may keep. An error of
   * TensorFlow's (out of memory, say) is thrown; the session is not to be trusted after it.
   */
  run(
    { inputs, outputs }: Signature,
    feeds: (name: string) => Int32Array,
    receive: (name: string, values: Float32Array | Int32Array) => void,
  ): void {
    const fed = Object.entries(inputs);
    const tensors = fed.map(([name, { shape }]) =>
      this.#tf.tensor(feeds(name), [...shape], "int32"),
    );
    let fetched: Tensor[] = [];
    try {
      fetched = this.#backend.runSavedModel(
        this.#id,
        tensors,
        fed.map(([, output]) => ({ name: portName(output), dtype: "int32", shape: [] })),
        Object.values(outputs).map(portName),
      );
      Object.keys(outputs).forEach((name, index) => {
        const tensor = fetched[index];
        if (tensor === undefined) throw new Error(`TensorFlow gave no output ${name}`);
        receive(name, numeric(tensor));
        tensor.dispose();
      });
    } finally {
      this.#tf.dispose(tensors);
      this.#tf.dispose(fetched);
    }
  }

  dispose(): void {
    this.#backend.deleteSavedModel(this.#id);
  }
}

function portName(output: Output): string {
  return output.index === 0 ? `${output.node}:0` : reference(output);
}

function numeric(tensor: Tensor): Float32Array | Int32Array {
  const values = tensor.dataSync();
  if (values instanceof Float32Array || values instanceof Int32Array) return values;
  throw new Error("an output is neither float32 nor int32");
}
