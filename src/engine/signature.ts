import { reference, shapeProto, type Output } from "./graph.js";
import { typeNumbers, type SignatureProto, type TensorInfoProto } from "./savedModelProto.js";

type Outputs = Readonly<Record<string, Output>>;

/** One way to run the graph: what is fed and what is fetched, by name. */
export interface Signature {
  readonly inputs: Outputs;
  readonly outputs: Outputs;
}

export function signatureProto({ inputs, outputs }: Signature): SignatureProto {
  return {
    inputs: infos(inputs),
    outputs: infos(outputs),
    methodName: "tensorflow/serving/predict",
  };
}

function infos(outputs: Outputs): Readonly<Record<string, TensorInfoProto>> {
  const entries = Object.entries(outputs).map(([name, output]) => {
    const info: TensorInfoProto = {
      name: `${reference(output)}${output.index === 0 ? ":0" : ""}`,
      dtype: typeNumbers[output.type],
      tensorShape: shapeProto(output.shape),
    };
    return [name, info] as const;
  });
  return Object.fromEntries(entries);
}
