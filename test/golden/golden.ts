import { tmpdir } from "node:os";

import { EagerEngine } from "../../src/engine/eagerEngine.js";
import { createEngine } from "../../src/engine/recordedEngine.js";
import { loadTensorFlow } from "../../src/engine/tensorflow.js";
import { reasonOf } from "../../src/job/problem.js";
import { bars, deviations, goldenSpec, type Deviations } from "./compare.js";
import { readGolden } from "./reference.js";

/**
 * `npm run golden -- FILE…`: holds both engines to files of reference values and prints the
 * largest deviations. Exits 1 when one is past its bar.
 */
const kinds = ["logits", "losses", "gradients", "weights"] as const;

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error("golden: name one or more files such as test/golden/values/r50x1-side64.json");
  process.exit(2);
}
// Bits depend on the number of threads, so it is fixed here as everywhere.
process.env["TF_NUM_INTRAOP_THREADS"] ??= "2";
const tf = await loadTensorFlow();
let failed = false;
for (const file of files) {
  const golden = reference(file);
  const spec = goldenSpec(golden);
  const bar = bars(golden);
  console.log(`${file}: ${golden.model}, ${golden.parameters} parameters`);
  const engines = [
    { name: "eager", create: () => new EagerEngine(tf, spec) },
    { name: "recorded", create: () => createEngine(tf, spec, tmpdir()) },
  ];
  for (const { name, create } of engines) {
    const engine = create();
    const found = deviations(golden, engine);
    engine.dispose();
    console.log(`  ${name.padEnd(9)} ${kinds.map((kind) => shown(kind, found, bar)).join("  ")}`);
    failed ||= !kinds.every((kind) => found[kind] <= bar[kind]);
  }
}
process.exit(failed ? 1 : 0);

function reference(file: string): ReturnType<typeof readGolden> {
  try {
    return readGolden(file);
  } catch (error) {
    console.error(`golden: ${reasonOf(error)}`);
    process.exit(2);
  }
}

function shown(kind: keyof Deviations, found: Deviations, bar: Deviations): string {
  const verdict = found[kind] <= bar[kind] ? "" : " PAST THE BAR";
  return `${kind} ${found[kind].toExponential(1)} (bar ${bar[kind].toExponential(1)})${verdict}`;
}
