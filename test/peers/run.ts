import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { architecture, tensors } from "../../src/bit/architecture.js";
import { createEngine } from "../../src/engine/recordedEngine.js";
import { loadTensorFlow } from "../../src/engine/tensorflow.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { float32Bytes } from "../../src/store/float32Bytes.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { npzChunks } from "../../src/store/npz.js";
import { goldenWeights } from "../golden/reference.js";
import { installPeers } from "./install.js";

/**
 * `npm run test:peers [-- MODEL...]`: what others make of our exports. Writes the weights of the
 * golden files' formula as an npz, as an export does, and has NumPy and timm's own npz loader read
 * it: names, shapes, bits, and timm's logits against the recorded engine's, to 1e-4.
 */
const classes = 7;
const side = 64;
const batch = 2;

const models = process.argv.length > 2 ? process.argv.slice(2) : ["R50x1"];
const sources = join(packageRoot(), "test", "peers");
const peers = installPeers(sources);
process.env["TF_NUM_INTRAOP_THREADS"] ??= "2";
const tf = await loadTensorFlow();

let failed = false;
for (const model of models) {
  const folder = mkdtempSync(join(tmpdir(), "bitfleet-peers-"));
  try {
    console.log(`${model}, ${classes} classes, ${batch} pictures of ${side}x${side}`);
    await writeCase(model, folder);
    const { status } = spawnSync("python3", ["-s", join(sources, "check.py"), folder], {
      env: { ...process.env, PYTHONPATH: peers },
      stdio: "inherit",
    });
    failed ||= status !== 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
process.exit(failed ? 1 : 0);

async function writeCase(model: string, folder: string): Promise<void> {
  const kind = architecture(model);
  const table = tensors(kind, classes);
  const weights = goldenWeights(table);
  const images = Uint8Array.from({ length: batch * side * side * 3 }, (_, i) => (i * i * 31) % 251);

  const spec = { architecture: kind, classes, side, microBatch: batch, mixup: false };
  const engine = createEngine(tf, spec, folder);
  engine.write(weights, undefined);
  const logits = engine.logits(images);
  engine.dispose();

  const store = await FolderStore.open(folder);
  await store.put("weights.npz", npzChunks(table, weights));
  writeFileSync(join(folder, "weights.f32"), float32Bytes(weights));
  writeFileSync(join(folder, "logits.f32"), float32Bytes(logits));
  writeFileSync(join(folder, "images.u8"), images);
  const expected = { model, classes, side, batch, tensors: table };
  writeFileSync(join(folder, "expected.json"), JSON.stringify(expected));
}
