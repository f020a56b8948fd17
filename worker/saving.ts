import { architecture, tensors } from "../src/bit/architecture.js";
import type { JobOrder } from "../src/control/message.js";
import { weightsName } from "../src/job/storedNames.js";
import { saveCheckpoint } from "../src/store/checkpoint.js";
import { parameterDigest } from "../src/store/digest.js";
import { checkFinite, NonFiniteError } from "../src/store/finite.js";
import { npzChunks } from "../src/store/npz.js";
import { StoreError, type Store } from "../src/store/store.js";

/** A state that no update touches any more. */
export interface Snapshot {
  readonly attempt: number;
  readonly step: number;
  readonly parameters: Float32Array;
  readonly momentum: Float32Array;
}

export interface SavedFile {
  readonly step: number;
  readonly parameterDigest: string;
  readonly bytes: number;
}

export async function saveCheckpointOf(
  store: Store,
  order: JobOrder,
  term: number,
  snapshot: Snapshot,
): Promise<SavedFile> {
  const { settings, classes, job } = order;
  const { model } = settings;
  const specs = tensors(architecture(model), classes);
  return saveCheckpoint(store, { job, term, model, classes, specs, ...snapshot });
}

export async function saveWeightsOf(
  store: Store,
  order: JobOrder,
  { step, parameters }: Snapshot,
): Promise<SavedFile> {
  const name = weightsName(order.job);
  const specs = tensors(architecture(order.settings.model), order.classes);
  await checkFinite(`the weights of ${order.job} at step ${step}`, specs, parameters);
  const { bytes } = await store.put(name, npzChunks(specs, parameters));
  return { step, parameterDigest: await parameterDigest(parameters), bytes };
}

/**
 * What kept something from being saved, without its step: the same trouble is told once. Undefined:
 * the job is at fault, or we are. Weights that are no numbers would not become better by waiting.
 */
export function whyNotSaved(what: "checkpoint" | "weights", error: unknown): string | undefined {
  if (error instanceof StoreError) return error.reason;
  return error instanceof NonFiniteError && what === "checkpoint" ? error.message : undefined;
}
