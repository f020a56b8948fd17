import type { TensorSpec } from "../../src/bit/architecture.js";
import { pruneCheckpoints, saveCheckpoint } from "../../src/store/checkpoint.js";
import { FolderStore } from "../../src/store/folderStore.js";

/** A process that saves one checkpoint after another, keeps two, and says which are done, until it is killed. */

const size = 300_000;
export const savingSpecs: readonly TensorSpec[] = [
  { name: "resnet/a/kernel", shape: [size], offset: 0, size },
];

async function save(folder: string, from: number): Promise<void> {
  const store = await FolderStore.open(folder);
  for (let step = from; ; step += 1) {
    await saveCheckpoint(store, {
      ...{ job: "digits", attempt: 1, step, term: 1, model: "tiny", classes: 3 },
      specs: savingSpecs,
      parameters: new Float32Array(size).fill(step),
      momentum: new Float32Array(size).fill(-step),
    });
    process.send?.(step);
    await pruneCheckpoints(store, "digits", 2, step);
  }
}

const [, file = "", folder, from] = process.argv;
if (file.endsWith("savingLoop.js") && folder !== undefined && from !== undefined)
  await save(folder, Number(from));
