import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { decoderVersion } from "../data/picture.js";
import { chosenByOperator } from "../engine/tensorflowEnvironment.js";

/**
 * Who gets the same bits. Two workers with equal text compute the same sums; each part of the text
 * is something that was measured to change bits, or could. The probe of a job checks it for real.
 */
export interface Numerics {
  /** The numerics class. */
  readonly text: string;
  /** For people. */
  readonly device: string;
  readonly gpu: boolean;
}

/** Instruction sets by which oneDNN and Eigen choose their kernels. */
const deciding = ["avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"];

const longest = 60;

export function numerics(
  environment: Readonly<Record<string, string | undefined>>,
  versions: { readonly tensorflow: string; readonly gpu: boolean },
): Numerics {
  const gpuName = versions.gpu ? nameOfGpu(environment["CUDA_VISIBLE_DEVICES"]) : undefined;
  const model = cpus()[0]?.model.trim() ?? "unknown CPU";
  const machine = gpuName ?? [model, ...instructionSets()].join(" ");
  const threads = environment["TF_NUM_INTRAOP_THREADS"];
  return {
    text: [
      machine,
      `TensorFlow ${versions.tensorflow}`,
      "oneDNN",
      threads === undefined ? "threads as the job says" : `threads ${threads}`,
      ...chosenByOperator(environment).map(brief),
      decoderVersion(),
    ].join(", "),
    device: gpuName ?? `CPU, ${availableParallelism()} cores`,
    gpu: gpuName !== undefined,
  };
}

/** The class is read by people, and bounded on the wire. */
function brief(text: string): string {
  if (text.length <= longest) return text;
  const digest = createHash("sha256").update(text).digest("hex").slice(0, 12);
  return `${text.slice(0, longest)}... (SHA-256 ${digest})`;
}

function instructionSets(): readonly string[] {
  try {
    const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1];
    const present = new Set(flags?.trim().split(/\s+/));
    return deciding.filter((flag) => present.has(flag));
  } catch {
    return []; // Not Linux: the probe alone tells classes apart.
  }
}

/** The name of the GPU this process may use, undefined where there is none. */
function nameOfGpu(visible: string | undefined): string | undefined {
  if (visible === "" || visible === "-1") return undefined;
  try {
    const first = visible?.split(",")[0];
    const choose = first === undefined ? [] : [`--id=${first}`];
    const query = ["--query-gpu=name,driver_version", "--format=csv,noheader"];
    const output = execFileSync("nvidia-smi", [...query, ...choose], {
      encoding: "utf8",
      timeout: 10_000,
      stdio: ["ignore", "pipe", "ignore"],
    });
    const line = output.split("\n")[0]?.trim();
    return line === undefined || line === "" ? undefined : line.replace(",", ", driver");
  } catch {
    return undefined;
  }
}
