import util from "node:util";

import type * as tfjs from "@tensorflow/tfjs-node-gpu";
import type { NodeJSKernelBackend } from "@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js";

import { FailureError, reasonOf } from "../job/problem.js";
import { decidedEnvironment } from "./tensorflowEnvironment.js";

/**
 * The only file that knows where TensorFlow comes from. Whoever needs it gets the module as an
 * argument, so that a process decides once whether, and with which environment, it is loaded.
 */
export type TensorFlow = (typeof tfjs)["default"];

export type { NodeJSKernelBackend };
export type {
  DataId,
  DataType,
  KernelBackend,
  KernelFunc,
  NamedAttrMap,
  Tensor,
  Tensor1D,
  Tensor2D,
  Tensor4D,
  TensorInfo,
} from "@tensorflow/tfjs-node-gpu";

/**
 * Loads TensorFlow into this process; a second call returns the same module. TensorFlow reads its
 * environment (threads, devices, what Bitfleet decides) at this moment, so the caller sets that before. Throws a
 * FailureError when the native addon or its libraries cannot be loaded.
 */
export async function loadTensorFlow(): Promise<TensorFlow> {
  process.env["TF_CPP_MIN_LOG_LEVEL"] ??= "2";
  // In a thread this is a copy that TensorFlow does not see: childEnvironment.ts has set them there.
  Object.assign(process.env, decidedEnvironment);

  // tfjs-node 4.22 calls this function at its first operation, and Node 23 removed it.
  if (!("isNullOrUndefined" in util)) {
    Object.assign(util, {
      isNullOrUndefined: (value: unknown) => value === null || value === undefined,
    });
  }

  try {
    const { default: tf } = await import("@tensorflow/tfjs-node-gpu");
    await tf.ready();
    return tf;
  } catch (cause) {
    throw new FailureError(`TensorFlow cannot be loaded: ${firstLine(cause)}`, { cause });
  }
}

/** The native backend behind `tf`: it runs single TensorFlow operations and SavedModels. */
export function nativeBackend(tf: TensorFlow): NodeJSKernelBackend {
  const backend = tf.engine().findBackend("tensorflow");
  if (isNative(backend)) return backend;
  throw new FailureError("TensorFlow has no native backend in this process");
}

function isNative(backend: unknown): backend is NodeJSKernelBackend {
  return typeof backend === "object" && backend !== null && "runSavedModel" in backend;
}

function firstLine(error: unknown): string {
  return reasonOf(error).split("\n", 1)[0] ?? "";
}
