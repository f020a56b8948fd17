import { tmpdir } from "node:os";

import { architecture } from "../../src/bit/architecture.js";
import { initialParameters } from "../../src/bit/initial.js";
import { EagerEngine } from "../../src/engine/eagerEngine.js";
import type { EngineSpec } from "../../src/engine/engine.js";
import { createEngine } from "../../src/engine/recordedEngine.js";
import { loadTensorFlow } from "../../src/engine/tensorflow.js";
import type { EngineResult } from "./engine.js";

/** One engine of the engine benchmark, a process of its own; its argument: recorded or eager. */
const threads = process.env["TF_NUM_INTRAOP_THREADS"] ?? "2";
const microBatches = 4;

console.log(JSON.stringify(await measured(process.argv[2] === "eager" ? "eager" : "recorded")));

async function measured(engineKind: EngineResult["engine"]): Promise<EngineResult> {
  process.env["TF_NUM_INTRAOP_THREADS"] = threads;
  const tf = await loadTensorFlow();
  const model = architecture("R50x1");
  const spec: EngineSpec = {
    architecture: model,
    classes: 10,
    side: 128,
    microBatch: 32,
    mixup: false,
  };
  const engine =
    engineKind === "eager" ? new EagerEngine(tf, spec) : createEngine(tf, spec, tmpdir());
  engine.write(initialParameters(model, spec.classes, 0), undefined);
  const byteCount = spec.microBatch * spec.side * spec.side * 3;
  const batch = {
    images: Uint8Array.from({ length: byteCount }, (_, i) => Math.imul(i, 2654435761) >>> 24),
    labels: Int32Array.from({ length: spec.microBatch }, (_, i) => i % spec.classes),
    weights: new Float32Array(spec.microBatch).fill(1),
  };
  engine.accumulate(batch); // The first run compiles.
  const start = performance.now();
  for (let i = 0; i < microBatches; i += 1) engine.accumulate(batch);
  const seconds = (performance.now() - start) / 1000;
  engine.dispose();
  return {
    name: "engine",
    engine: engineKind,
    model: model.name,
    side: spec.side,
    microBatch: spec.microBatch,
    threads: Number(threads),
    imagesPerSecond: round((microBatches * spec.microBatch) / seconds),
    peakMemoryGB: round(process.resourceUsage().maxRSS / 2 ** 20),
  };
}

function round(value: number): number {
  return Number(value.toPrecision(3));
}
