/** The NVIDIA GPUs that workers may be given. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Variables } from "../process/variables.js";

const deadlineMs = 10_000;

export interface Gpu {
  /** What CUDA_VISIBLE_DEVICES takes: a UUID, or what that variable already had. */
  readonly id: string;
  readonly name: string;
}

/** Empty where there is no driver. CUDA_VISIBLE_DEVICES narrows the choice, as for every CUDA program. */
export async function findGpus(variables: Variables): Promise<readonly Gpu[]> {
  const visible = variables["CUDA_VISIBLE_DEVICES"];
  let listing: string;
  try {
    listing = (await promisify(execFile)("nvidia-smi", ["-L"], { timeout: deadlineMs })).stdout;
  } catch {
    return [];
  }
  return chosenGpus(parseGpus(listing), visible);
}

/** Lines such as `GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-8f0a...)`; parts of a GPU (MIG) are indented and left out. */
export function parseGpus(listing: string): readonly Gpu[] {
  const pattern = /^GPU \d+: (.+) \(UUID: (GPU-[0-9a-f-]+)\)$/gm;
  return [...listing.matchAll(pattern)].map(([, name = "", id = ""]) => ({ id, name }));
}

/** CUDA's rule: the list ends at the first entry that names no device. */
export function chosenGpus(gpus: readonly Gpu[], visible: string | undefined): readonly Gpu[] {
  if (visible === undefined) return gpus;
  const chosen: Gpu[] = [];
  for (const entry of visible.split(",").map((part) => part.trim())) {
    const gpu = /^\d+$/.test(entry)
      ? gpus[Number(entry)]
      : gpus.find(({ id }) => entry !== "" && id.startsWith(entry));
    if (gpu === undefined) break;
    chosen.push(gpu);
  }
  return chosen;
}

/** The GPU of worker `i`: they are dealt in turn. undefined: it works on the CPU. */
export function gpuFor(gpus: readonly Gpu[], i: number): Gpu | undefined {
  return gpus[i % Math.max(1, gpus.length)];
}
