import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export interface EngineResult {
  readonly name: "engine";
  readonly engine: "recorded" | "eager";
  readonly model: string;
  readonly side: number;
  readonly microBatch: number;
  readonly threads: number;
  readonly imagesPerSecond: number;
  readonly peakMemoryGB: number;
}

/**
 * Images per second, forward and backward, and peak memory of R50x1 at 128x128, micro-batch 32. In
 * a process of its own, since a process's peak memory never falls.
 */
export async function benchEngine(engine: EngineResult["engine"]): Promise<EngineResult> {
  const file = fileURLToPath(new URL("./engineRun.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [file, engine]);
  return JSON.parse(stdout) as EngineResult; // What our own engineRun.ts prints.
}
