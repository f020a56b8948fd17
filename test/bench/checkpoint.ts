import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { architecture, tensors } from "../../src/bit/architecture.js";
import { saveCheckpoint } from "../../src/store/checkpoint.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { sharedFloats } from "../../worker/thread.js";

const model = "R50x1";
const classes = 1000;

/**
 * What a checkpoint costs beside the training: how long it is written, and for how long at most it keeps the exchange, whose
 * thread writes it, from its work. The copy of the state that a step waits for is the device's and not in here.
 */
export async function benchCheckpoint(): Promise<object> {
  const specs = tensors(architecture(model), classes);
  const last = specs.at(-1);
  const count = last === undefined ? 0 : last.offset + last.size;
  const parameters = sharedFloats(count).map((_, i) => Math.sin(i));
  const momentum = sharedFloats(count).map((_, i) => Math.cos(i));
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-bench-"));
  try {
    const store = await FolderStore.open(folder);
    const named = { job: "bench", attempt: 1, step: 1, term: 1, model, classes };
    const delay = monitorEventLoopDelay({ resolution: 1 });
    const begunMs = performance.now();
    delay.enable();
    const { bytes } = await saveCheckpoint(store, { ...named, specs, parameters, momentum });
    delay.disable();
    return {
      ...{ bench: "checkpoint", model, megabytes: Math.round(bytes / 1e6) },
      writeMs: Math.round(performance.now() - begunMs),
      longestStallMs: Math.round(delay.max / 1e6),
    };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
