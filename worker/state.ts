import { architecture, isHead, tensors } from "../src/bit/architecture.js";
import { initialParameters } from "../src/bit/initial.js";
import type { JobOrder, StateSource } from "../src/control/message.js";
import { plural } from "../src/job/plural.js";
import { ConfigError, FailureError } from "../src/job/problem.js";
import { weightsName } from "../src/job/storedNames.js";
import { loadCheckpoint, readManifest } from "../src/store/checkpoint.js";
import { firstNonFinite } from "../src/store/finite.js";
import { withStoredFile } from "../src/store/storedFile.js";
import type { Store } from "../src/store/store.js";

export interface State {
  readonly parameters: Float32Array;
  /** Undefined: zero. */
  readonly momentum: Float32Array | undefined;
}

/** The state that the source means, the same bits on every worker that reads it. */
export async function stateFrom(
  source: Exclude<StateSource, { readonly kind: "peer" }>,
  order: JobOrder,
  store: Store,
): Promise<State> {
  if (source.kind === "checkpoint") {
    return checkpointOf(source.step, order, store);
  }
  const { weights } = order.settings;
  if (weights === "") return { parameters: untrained(order), momentum: undefined };
  const parameters = await withWeights(weights, store, (path) => trained(path, order));
  return { parameters, momentum: undefined };
}

/** The coordinator names the step: an older state would undo what was committed and reported. */
async function checkpointOf(step: number, order: JobOrder, store: Store): Promise<State> {
  const { settings, classes, job } = order;
  const manifest = await readManifest(store, job, step);
  return loadCheckpoint(store, manifest, tensors(architecture(settings.model), classes));
}

/** The parameters of the job's model before any training, from the job's seed. */
export function untrained({ settings, classes }: JobOrder): Float32Array {
  return initialParameters(architecture(settings.model), classes, settings.seed);
}

/** Where the setting `weights` points: `job:NAME` is the export of that job. */
export function withWeights<T>(
  weights: string,
  store: Store,
  use: (path: string) => Promise<T>,
): Promise<T> {
  const job = /^job:(.+)$/.exec(weights)?.[1];
  return job === undefined ? use(weights) : withStoredFile(store, weightsName(job), use);
}

/**
 * Trained weights. A transfer begins with a head of zeros, as BiT's does, also where the classes
 * happen to be as many; a job that only evaluates needs the head, and pretraining goes on with it.
 */
async function trained(path: string, order: JobOrder): Promise<Float32Array> {
  const { settings, classes } = order;
  const specs = tensors(architecture(settings.model), classes);
  const evaluates = settings.steps === 0;
  // Whoever takes the state from another worker needs none of this.
  const { readNpz } = await import("../src/store/readNpz.js");
  const { parameters, headClasses, headLoaded } = await readNpz(path, specs, {
    allowOtherHead: !evaluates,
  });
  if (evaluates && !headLoaded) {
    throw new ConfigError(
      `the weights ${path} tell ${plural(headClasses, "class")} apart, the data ${classes}`,
    );
  }
  if (!evaluates && settings.recipe === "hyperrule") {
    for (const { name, offset, size } of specs) {
      if (isHead(name)) parameters.fill(0, offset, offset + size);
    }
  }
  if (firstNonFinite(parameters) !== -1) {
    throw new FailureError(`the weights ${path} hold numbers that are not finite`);
  }
  return parameters;
}
