import { assert } from "../job/problem.js";
import type { Graph, Output } from "./graph.js";
import { convolutionKernels } from "./recorderConvolution.js";
import { elementwiseKernels } from "./recorderElementwise.js";
import { kernelCall } from "./recorderKernel.js";
import { shapeKernels } from "./recorderShape.js";
import type {
  DataId,
  DataType,
  KernelBackend,
  Tensor,
  TensorFlow,
  TensorInfo,
} from "./tensorflow.js";

/**
 * A tfjs backend that computes nothing: each kernel appends a node to a TensorFlow graph and works
 * out its shape. tfjs itself runs the model on it and its gradient code does the rest, so the graph
 * holds exactly what the eager model would have executed.
 */
const backendName = "recorder";

/** Turns outputs of the graph into tensors of the recording and back. */
export interface Recorder {
  readonly tensor: (output: Output) => Tensor;
  readonly output: (tensor: TensorInfo) => Output;
}

/**
 * Runs `body`, whose tfjs operations go into `graph`, and gives back what it returns. Only outputs
 * of the graph outlive the call, tensors do not.
 */
export function record<Value>(
  tf: TensorFlow,
  graph: Graph,
  body: (recorder: Recorder) => Value,
): Value {
  registerKernels(tf);
  const before = tf.getBackend();
  tf.registerBackend(backendName, () => recordingBackend(tf, graph));
  switchTo(tf, backendName);
  tf.engine().startScope("recording");
  try {
    return body({
      tensor: (output) => tf.engine().makeTensorFromTensorInfo(tensorInfo(graph, output)),
      output: (tensor) => recorded(tensor).output,
    });
  } finally {
    tf.engine().endScope();
    switchTo(tf, before);
    tf.removeBackend(backendName);
  }
}

/** What stands behind a tensor of the recording. Never freed: the graph is all there is. */
class RecordedData {
  readonly graph: Graph;
  readonly output: Output;

  constructor(graph: Graph, output: Output) {
    this.graph = graph;
    this.output = output;
  }
}

function recorded({ dataId, shape }: TensorInfo): RecordedData {
  assert(dataId instanceof RecordedData, "a recording uses a tensor of another backend");
  const { graph, output } = dataId;
  // tfjs reshapes some tensors itself: the same data, another shape.
  return new RecordedData(graph, graph.reshape(output, shape));
}

function tensorInfo(graph: Graph, output: Output): TensorInfo {
  const { type, shape } = output;
  const dtype = type === "int32" || type === "bool" ? type : "float32";
  return { dataId: new RecordedData(graph, output), shape: [...shape], dtype };
}

function recordingBackend(tf: TensorFlow, graph: Graph): KernelBackend {
  class RecordingBackend extends tf.KernelBackend {
    override write(values: unknown, shape: number[], dtype: DataType): DataId {
      if (values instanceof Float32Array || values instanceof Int32Array) {
        return new RecordedData(graph, graph.constant(values, shape));
      }
      throw new Error(`cannot record a constant of type ${dtype}`);
    }
    override disposeData = (): boolean => true;
    override refCount = (): number => 1;
    override numDataIds = (): number => 0;
    override floatPrecision = (): 32 => 32;
    override memory = (): { unreliable: boolean } => ({ unreliable: true });
    override dispose = (): void => undefined;
  }
  return new RecordingBackend();
}

function registerKernels(tf: TensorFlow): void {
  if (tf.getKernelsForBackend(backendName).length > 0) return;
  const kernels = { ...elementwiseKernels, ...shapeKernels, ...convolutionKernels };
  for (const [kernelName, kernel] of Object.entries(kernels)) {
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs = {} }) => {
        const data = new Map(
          Object.entries(inputs).flatMap(([name, tensor]) =>
            tensor === undefined ? [] : [[name, recorded(tensor)] as const],
          ),
        );
        const [first] = data.values();
        assert(first !== undefined, `kernel ${kernelName} has no input`);
        const input = (name: string): Output => {
          const found = data.get(name);
          assert(found !== undefined, `kernel ${kernelName} lacks its input ${name}`);
          return found.output;
        };
        return tensorInfo(first.graph, kernel(kernelCall(first.graph, input, attrs)));
      },
    });
  }
}

/** tfjs switches at once when a backend needs no waiting, although it returns a promise. */
function switchTo(tf: TensorFlow, name: string): void {
  void tf.setBackend(name);
  assert(tf.getBackend() === name, `tfjs did not switch to the backend ${name}`);
}
