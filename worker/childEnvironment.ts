/**
 * The environment of a process that runs TensorFlow. Numbers that change bits come from the job's
 * settings, never from the machine; what an operator sets by hand wins, and is part of the
 * worker's numerics class.
 */
export function childEnvironment(
  environment: NodeJS.ProcessEnv,
  settings: { readonly threads: number },
): NodeJS.ProcessEnv {
  const threads = environment["TF_NUM_INTRAOP_THREADS"] ?? String(settings.threads);
  const chosen = {
    TF_NUM_INTRAOP_THREADS: threads,
    OMP_NUM_THREADS: threads,
    // Does not change bits; more would only compete for the cores.
    TF_NUM_INTEROP_THREADS: "1",
    TF_CPP_MIN_LOG_LEVEL: "2",
    TF_FORCE_GPU_ALLOW_GROWTH: "true",
    // A GPU picks its algorithms by timing them unless told not to.
    TF_DETERMINISTIC_OPS: "1",
    TF_CUDNN_DETERMINISTIC: "1",
    TF_CUDNN_USE_AUTOTUNE: "0",
    NVIDIA_TF32_OVERRIDE: "0",
    // Pictures that are read and decoded at once; Node's own default is 4.
    UV_THREADPOOL_SIZE: "8",
    // glibc keeps a heap per thread; with megabytes freed in other threads they only grow.
    MALLOC_ARENA_MAX: "2",
  };
  return { ...chosen, ...environment, TF_NUM_INTRAOP_THREADS: threads };
}
