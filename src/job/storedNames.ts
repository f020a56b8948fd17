/**
 * Where in the store the state of a job is. Coordinator and workers reckon these names by themselves: one that a peer says is
 * not asked for, so that it cannot lead to something else.
 */

/** The exported weights of a job that is done. */
export function weightsName(job: string): string {
  return `jobs/${job}/weights.npz`;
}

/** The data of a checkpoint; its manifest is beside it. */
export function checkpointName(job: string, step: number): string {
  return `jobs/${job}/checkpoint-${String(step).padStart(8, "0")}.safetensors`;
}
