/**
 * Prints the bits of one shard's gradient, as a process that has done nothing before, or, with the
 * argument `busy`, as one that has computed much else.
 */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { architecture, tensors } from "../../src/bit/architecture.js";
import type { Engine, EngineSpec, TrainingBatch } from "../../src/engine/engine.js";
import { createEngine } from "../../src/engine/recordedEngine.js";
import { loadTensorFlow } from "../../src/engine/tensorflow.js";
import { Random } from "../../src/plan/random.js";
import { goldenWeights } from "../golden/reference.js";

const tf = await loadTensorFlow();
const folder = mkdtempSync(join(tmpdir(), "bitfleet-digest-"));
const spec: EngineSpec = {
  architecture: architecture("1-1-1-1x0.5"),
  ...{ classes: 5, side: 33, microBatch: 8, mixup: false },
};
const [first, second, third] = [batch(spec, 1), batch(spec, 2), batch(spec, 3)];

const busy = process.argv[2] === "busy";
const kept: unknown[] = [];
if (busy) {
  // Kernels of other shapes are in oneDNN's cache, and memory lies elsewhere.
  const others = [
    { ...spec, microBatch: 3 },
    { ...spec, side: 48, mixup: true },
  ];
  for (const other of others) {
    const engine = engineOf(other);
    digest(engine, [batch(other, 4)]);
    kept.push(engine);
  }
  for (let size = 1; size < 200; size += 1) kept.push(tf.zeros([size * 13 + 1]));
}
const engine = engineOf(spec);
if (busy) {
  digest(engine, [third]);
  digest(engine, [second, first]);
  engine.evaluate(third);
  engine.logits(second.images);
}
const once = digest(engine, [first, second]);
if (digest(engine, [first, second]) !== once) throw new Error("the same shard gave other bits");
console.log(once);
rmSync(folder, { recursive: true });
process.exit(0);

function engineOf(wanted: EngineSpec): Engine {
  const made = createEngine(tf, wanted, folder);
  made.write(goldenWeights(tensors(wanted.architecture, wanted.classes)), undefined);
  return made;
}

function digest(on: Engine, batches: readonly TrainingBatch[]): string {
  const gradient = new Float32Array(on.parameterCount);
  for (const each of batches) on.accumulate(each);
  const { lossSum } = on.take(gradient);
  return createHash("sha256").update(gradient).update(Float32Array.of(lossSum)).digest("hex");
}

function batch({ microBatch, side, classes }: EngineSpec, seed: number): TrainingBatch {
  const random = new Random(seed);
  const images = (): Uint8Array =>
    Uint8Array.from({ length: microBatch * side * side * 3 }, () => random.below(256));
  const labels = (): Int32Array =>
    Int32Array.from({ length: microBatch }, () => random.below(classes));
  const weights = new Float32Array(microBatch).fill(1);
  return {
    ...{ images: images(), labels: labels(), weights },
    ...{ partnerImages: images(), partnerLabels: labels(), lambda: 0.3 },
  };
}
