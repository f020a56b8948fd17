/**
 * What Bitfleet decides of TensorFlow's environment, whatever the machine's says: these decide the
 * bits, so that every worker has the same. TensorFlow reads them once, while it is loaded.
 */
export const decidedEnvironment = {
  // TensorFlow leaves it off by itself on CPUs without AVX-512. Measured with AVX2, R50x1 at 64 pixels: 1.36 times
  // as fast with one thread, 1.53 times with two (CPU seconds per picture).
  TF_ENABLE_ONEDNN_OPTS: "1",
  // A GPU picks its algorithms by timing them unless told not to.
  TF_DETERMINISTIC_OPS: "1",
  TF_CUDNN_DETERMINISTIC: "1",
  TF_CUDNN_USE_AUTOTUNE: "0",
  // Float32 is float32, on GPUs and in oneDNN.
  NVIDIA_TF32_OVERRIDE: "0",
  ONEDNN_DEFAULT_FPMATH_MODE: "STRICT",
  TF_SET_ONEDNN_FPMATH_MODE: "STRICT",
  // Does not change bits; more would only compete for the cores.
  TF_NUM_INTEROP_THREADS: "1",
  // Does not change bits; without it one process takes the whole memory of a GPU.
  TF_FORCE_GPU_ALLOW_GROWTH: "true",
} as const;

/** Other variables by which TensorFlow and its libraries change what they compute, or may. */
const deciding =
  /^(?:ONEDNN|DNNL|CUDNN|CUBLAS)_|^XLA_FLAGS$|^TF_(?:XLA|ONEDNN|SET_ONEDNN|ENABLE_ONEDNN|MKL|CUDNN|AUTO_MIXED|FP16|CONV2D|MATMUL|USE_CUBLAS|OVERRIDE)/;

/** Kubernetes makes variables for every service in a namespace; and what only writes to a log. */
const harmless = /_PORT(?:_|$)|_SERVICE_|_VERBOSE|_LOG/;

/**
 * What an operator has set by hand that may change bits, as NAME=VALUE and sorted. It is left in
 * force, as TF_NUM_INTRAOP_THREADS is, and is part of the worker's numerics class.
 */
export function chosenByOperator(
  environment: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  return Object.entries(environment)
    .filter(([name]) => deciding.test(name) && !harmless.test(name))
    .filter(([name]) => !Object.hasOwn(decidedEnvironment, name))
    .map(([name, value = ""]) => `${name}=${value}`)
    .sort();
}
