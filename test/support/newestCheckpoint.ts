import type { TensorSpec } from "../../src/bit/architecture.js";
import { checkpointName } from "../../src/job/storedNames.js";
import { CheckpointError, loadCheckpoint, readManifest } from "../../src/store/checkpoint.js";
import type { CheckpointManifest } from "../../src/store/manifest.js";
import type { Store } from "../../src/store/store.js";

interface NewestCheckpoint {
  readonly manifest: CheckpointManifest | undefined;
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

/** The manifest of the newest checkpoint that can be loaded, and why newer ones cannot. */
export async function newestCheckpoint(
  store: Store,
  job: string,
  specsOf: (manifest: CheckpointManifest) => readonly TensorSpec[],
): Promise<NewestCheckpoint> {
  const skipped: { readonly name: string; readonly reason: string }[] = [];
  const names = await store.list(`jobs/${job}/checkpoint-`);
  const steps = names.map((name) => Number(/checkpoint-(\d+)\./.exec(name)?.[1]));
  for (const step of [...new Set(steps)].toSorted((a, b) => b - a)) {
    try {
      const manifest = await readManifest(store, job, step);
      await loadCheckpoint(store, manifest, specsOf(manifest));
      return { manifest, skipped };
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      const name = checkpointName(job, step);
      const prefix = `the checkpoint ${name} cannot be used: `;
      skipped.push({ name, reason: error.message.slice(prefix.length) });
    }
  }
  return { manifest: undefined, skipped };
}
