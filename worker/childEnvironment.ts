import { decidedEnvironment } from "../src/engine/tensorflowEnvironment.js";

/**
 * The environment of a process that runs TensorFlow. Numbers that change bits come from the job's
 * settings and from Bitfleet, never from the machine. What an operator may set by hand, the threads
 * above all, is part of the worker's numerics class.
 */
export function childEnvironment(
  environment: NodeJS.ProcessEnv,
  settings: { readonly threads: number },
): NodeJS.ProcessEnv {
  const threads = environment["TF_NUM_INTRAOP_THREADS"] ?? String(settings.threads);
  return {
    TF_CPP_MIN_LOG_LEVEL: "2",
    // Pictures that are read and decoded at once; Node's own default is 4.
    UV_THREADPOOL_SIZE: "8",
    // glibc keeps a heap per thread; with megabytes freed in other threads they only grow.
    MALLOC_ARENA_MAX: "2",
    OMP_NUM_THREADS: threads,
    ...environment,
    TF_NUM_INTRAOP_THREADS: threads,
    ...decidedEnvironment,
  };
}
