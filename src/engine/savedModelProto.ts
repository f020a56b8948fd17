import protobuf from "protobufjs";

/**
 * The fields of TensorFlow's public messages that a recording needs, with their numbers
 * (tensorflow/core/protobuf/saved_model.proto, meta_graph.proto and core/framework/*.proto).
 * Unknown fields are optional in protobuf, so what is left out takes TensorFlow's defaults.
 */

/** Numbers of tensorflow.DataType. */
export const typeNumbers = {
  float32: 1,
  int32: 3,
  uint8: 4,
  int64: 9,
  bool: 10,
  resource: 20,
} as const;

export type GraphType = keyof typeof typeNumbers;

export interface ShapeProto {
  readonly dim: readonly { readonly size: number }[];
}

/** One attribute of a node: exactly one of these. */
export type AttributeProto =
  | { readonly s: Uint8Array }
  | { readonly i: number }
  | { readonly f: number }
  | { readonly b: boolean }
  | { readonly type: number }
  | { readonly shape: ShapeProto }
  | { readonly tensor: TensorProto }
  | { readonly list: { readonly i: readonly number[] } };

export interface TensorProto {
  readonly dtype: number;
  readonly tensorShape: ShapeProto;
  readonly tensorContent: Uint8Array;
}

export interface NodeProto {
  readonly name: string;
  readonly op: string;
  /** `node` or `node:index` for data, then `^node` for what only has to run before. */
  readonly input: readonly string[];
  readonly attr: Readonly<Record<string, AttributeProto>>;
}

export interface TensorInfoProto {
  readonly name: string;
  readonly dtype: number;
  readonly tensorShape: ShapeProto;
}

export interface SignatureProto {
  readonly inputs: Readonly<Record<string, TensorInfoProto>>;
  readonly outputs: Readonly<Record<string, TensorInfoProto>>;
  readonly methodName: string;
}

/** The bytes of `saved_model.pb` for a graph with the tag `serve` and these signatures. */
export function encodeSavedModel(
  nodes: readonly NodeProto[],
  signatures: Readonly<Record<string, SignatureProto>>,
): Uint8Array {
  const metaGraph = {
    metaInfoDef: { tags: ["serve"] },
    graphDef: { node: nodes, versions: { producer: graphVersion } },
    signatureDef: signatures,
  };
  return savedModel.encode({ savedModelSchemaVersion: 1, metaGraphs: [metaGraph] }).finish();
}

/** A GraphDef version that every TensorFlow 2 reads and whose operations behave as used here. */
const graphVersion = 1087;

const field = (type: string, id: number): protobuf.IField => ({ type, id });
const repeated = (type: string, id: number): protobuf.IField => ({ rule: "repeated", type, id });
const map = (type: string, id: number): protobuf.IMapField => ({ keyType: "string", type, id });

const savedModel = protobuf.Root.fromJSON({
  nested: {
    SavedModel: {
      fields: {
        savedModelSchemaVersion: field("int64", 1),
        metaGraphs: repeated("MetaGraphDef", 2),
      },
    },
    MetaGraphDef: {
      fields: {
        metaInfoDef: field("MetaInfoDef", 1),
        graphDef: field("GraphDef", 2),
        signatureDef: map("SignatureDef", 5),
      },
    },
    MetaInfoDef: { fields: { tags: repeated("string", 4) } },
    GraphDef: { fields: { node: repeated("NodeDef", 1), versions: field("VersionDef", 4) } },
    VersionDef: { fields: { producer: field("int32", 1) } },
    NodeDef: {
      fields: {
        name: field("string", 1),
        op: field("string", 2),
        input: repeated("string", 3),
        attr: map("AttrValue", 5),
      },
    },
    AttrValue: {
      oneofs: { value: { oneof: ["list", "s", "i", "f", "b", "type", "shape", "tensor"] } },
      fields: {
        list: field("ListValue", 1),
        s: field("bytes", 2),
        i: field("int64", 3),
        f: field("float", 4),
        b: field("bool", 5),
        type: field("int32", 6), // An enum there; the same on the wire.
        shape: field("TensorShapeProto", 7),
        tensor: field("TensorProto", 8),
      },
    },
    ListValue: { fields: { i: { ...repeated("int64", 3), options: { packed: true } } } },
    TensorShapeProto: { fields: { dim: repeated("Dim", 2) } },
    Dim: { fields: { size: field("int64", 1) } },
    TensorProto: {
      fields: {
        dtype: field("int32", 1),
        tensorShape: field("TensorShapeProto", 2),
        tensorContent: field("bytes", 4),
      },
    },
    SignatureDef: {
      fields: {
        inputs: map("TensorInfo", 1),
        outputs: map("TensorInfo", 2),
        methodName: field("string", 3),
      },
    },
    TensorInfo: {
      fields: {
        name: field("string", 1),
        dtype: field("int32", 2),
        tensorShape: field("TensorShapeProto", 3),
      },
    },
  },
}).lookupType("SavedModel");
