import { integers, text, typed, type Attributes, type Output } from "./graph.js";
import type { KernelCall, RecordedKernel } from "./recorderKernel.js";

/** Kernels over windows of pixels, and matrix products. Pictures are (batch, height, width, channels). */
export const convolutionKernels: Readonly<Record<string, RecordedKernel>> = {
  Conv2D: (call) => {
    const [x, filter] = [call.input("x"), call.input("filter")];
    const [height = 1, width = 1, , channels = 0] = filter.shape;
    const shape = windowed(call, x, [height, width], channels);
    const attributes = convolution(call);
    return call.graph.add("Conv2D", [x, filter], attributes, { type: "float32", shape });
  },
  Conv2DBackpropInput: (call) => {
    const shape = call.numbers("inputShape");
    const inputs = [call.graph.integers(shape), call.input("filter"), call.input("dy")];
    return call.graph.add("Conv2DBackpropInput", inputs, convolution(call), {
      type: "float32",
      shape,
    });
  },
  Conv2DBackpropFilter: (call) => {
    const shape = call.numbers("filterShape");
    const inputs = [call.input("x"), call.graph.integers(shape), call.input("dy")];
    return call.graph.add("Conv2DBackpropFilter", inputs, convolution(call), {
      type: "float32",
      shape,
    });
  },
  MaxPool: (call) => {
    const x = call.input("x");
    const [, , , channels = 0] = x.shape;
    const shape = windowed(call, x, call.numbers("filterSize", 2), channels);
    return call.graph.add("MaxPool", [x], pool(call), { type: "float32", shape });
  },
  MaxPoolGrad: (call) => {
    const x = call.input("input");
    const inputs = [x, call.input("output"), call.input("dy")];
    return call.graph.add("MaxPoolGrad", inputs, pool(call), x);
  },
  BatchMatMul: ({ graph, input, flag }) => {
    const [a, b] = [input("a"), input("b")];
    if (a.shape.length !== 2) throw new Error("only products of two matrices are recorded");
    const [transposeA, transposeB] = [flag("transposeA"), flag("transposeB")];
    const attributes = {
      ...typed("T", a.type),
      transpose_a: { b: transposeA },
      transpose_b: { b: transposeB },
    };
    const shape = [a.shape[transposeA ? 1 : 0] ?? 0, b.shape[transposeB ? 0 : 1] ?? 0];
    return graph.add("MatMul", [a, b], attributes, { type: a.type, shape });
  },
};

/** The shape that windows of `window` leave of `x`. */
function windowed(
  call: KernelCall,
  { shape: [batch = 0, height = 0, width = 0] }: Output,
  [windowHeight = 1, windowWidth = 1]: readonly number[],
  channels: number,
): readonly number[] {
  const [down = 1, across = 1] = call.numbers("strides", 2);
  const same = call.text("pad") === "same";
  const count = (extent: number, window: number, stride: number): number =>
    Math.ceil((same ? extent : extent - window + 1) / stride);
  return [batch, count(height, windowHeight, down), count(width, windowWidth, across), channels];
}

function convolution(call: KernelCall): Attributes {
  return { ...window(call), dilations: integers([1, 1, 1, 1]), use_cudnn_on_gpu: { b: true } };
}

function pool(call: KernelCall): Attributes {
  return { ...window(call), ksize: integers([1, ...call.numbers("filterSize", 2), 1]) };
}

function window(call: KernelCall): Attributes {
  return {
    ...typed("T", "float32"),
    strides: integers([1, ...call.numbers("strides", 2), 1]),
    padding: text(call.text("pad").toUpperCase()),
    data_format: text("NHWC"),
  };
}
