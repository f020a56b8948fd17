import { createHash } from "node:crypto";
import type { TensorSpec } from "../bit/architecture.js";
import { believedMax } from "../job/limits.js";
import { assert, FailureError } from "../job/problem.js";
import { checkpointName } from "../job/storedNames.js";
import { parameterDigest } from "./digest.js";
import { checkFinite } from "./finite.js";
import {
  decodeManifest,
  encodeManifest,
  layoutDigest,
  manifestBytesMax,
  type CheckpointManifest,
} from "./manifest.js";
import { readWhole } from "./readWhole.js";
import {
  FormatError,
  readSafetensors,
  safetensorsChunks,
  type NamedTensor,
} from "./safetensors.js";
import { StoreError, type Chunks, type Store } from "./store.js";

/**
 * Checkpoints of a job in the store: `jobs/JOB/checkpoint-STEP.safetensors` with parameters and
 * momentum, then `.json` with the manifest that makes it valid. The data holds nothing but tensors, so
 * a step that is saved again, by another attempt or term, has the same data file.
 */
export interface CheckpointState {
  readonly job: string;
  readonly attempt: number;
  readonly step: number;
  readonly term: number;
  readonly model: string;
  readonly classes: number;
  readonly specs: readonly TensorSpec[];
  /** Flat, in the order of the specs. */
  readonly parameters: Float32Array;
  readonly momentum: Float32Array;
}

/** A checkpoint that is missing, torn or altered: no repetition will make it good, an older one may be. */
export class CheckpointError extends FailureError {
  constructor(name: string, reason: string, cause?: unknown) {
    super(`the checkpoint ${name} cannot be used: ${reason}`, { cause });
  }
}

/** Throws FailureError when the store fails, NonFiniteError when a number is not finite: that is never saved. */
export async function saveCheckpoint(
  store: Store,
  state: CheckpointState,
): Promise<CheckpointManifest> {
  const { job, attempt, step, term, model, classes, specs } = state;
  for (const kind of ["parameters", "momentum"] as const)
    await checkFinite(`not all ${kind} of ${job} are finite`, specs, state[kind]);
  const names = namesOf(job, step);
  const chunks = safetensorsChunks(namedTensors(specs, state));
  const { sha256, bytes } = await store.put(names.data, chunks);
  const manifest: CheckpointManifest = {
    ...{ name: names.data, job, attempt, step, term, model, classes, sha256, bytes },
    layoutDigest: layoutDigest(specs),
    parameterDigest: await parameterDigest(state.parameters),
  };
  await store.put(names.manifest, [encodeManifest(manifest)]);
  return manifest;
}

/** Throws CheckpointError when there is none, or it is damaged. Does not look at the data. */
export async function readManifest(
  store: Store,
  job: string,
  step: number,
): Promise<CheckpointManifest> {
  const manifest = await findManifest(store, job, step);
  if (typeof manifest !== "string") return manifest;
  throw new CheckpointError(checkpointName(job, step), manifest);
}

/** The highest term that any job's manifest has, of those that can be read; 0 where there is none. */
export async function highestManifestTerm(store: Store): Promise<number> {
  let highest = 0;
  for (const name of await store.list("jobs/")) {
    const [, job = "", step = ""] = /^jobs\/([^/]+)\/checkpoint-(\d+)\.json$/.exec(name) ?? [];
    const manifest = job === "" ? "no manifest" : await findManifest(store, job, Number(step));
    // A forged one must not hide the others.
    if (typeof manifest !== "string" && manifest.term <= believedMax)
      highest = Math.max(highest, manifest.term);
  }
  return highest;
}

/** Throws CheckpointError when the data is not what the manifest says, or the model is laid out otherwise. */
export async function loadCheckpoint(
  store: Store,
  manifest: CheckpointManifest,
  specs: readonly TensorSpec[],
): Promise<{ readonly parameters: Float32Array; readonly momentum: Float32Array }> {
  const { name } = manifest;
  const refuse = (reason: string): never => {
    throw new CheckpointError(name, reason);
  };
  if (layoutDigest(specs) !== manifest.layoutDigest) {
    refuse(`this program lays out ${manifest.model} with ${manifest.classes} classes otherwise`);
  }
  const last = specs.at(-1);
  const count = last === undefined ? 0 : last.offset + last.size;
  const loaded = { parameters: new Float32Array(count), momentum: new Float32Array(count) };
  const hash = createHash("sha256");
  try {
    const found = await store.stat(name);
    if (found?.bytes !== manifest.bytes) refuse(wrongLength(found, manifest));
    await readSafetensors(hashed(store.get(name), hash), namedTensors(specs, loaded), name);
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw new CheckpointError(name, unreadable(error), error);
  }
  if (hash.digest("hex") !== manifest.sha256) refuse("its SHA-256 is not its manifest's");
  if ((await parameterDigest(loaded.parameters)) !== manifest.parameterDigest) {
    refuse("its parameters are not its manifest's");
  }
  return loaded;
}

/**
 * Deletes what is older than the newest `keep` checkpoints up to step `upTo` that look complete. Later
 * ones stay and do not count: they may be of an attempt that was lost before it was known that they
 * are there, and the job goes on from the earlier one. Newer files without a manifest stay: they may
 * be a save under way.
 */
export async function pruneCheckpoints(
  store: Store,
  job: string,
  keep: number,
  upTo = Infinity,
): Promise<void> {
  assert(keep >= 1, `keeping ${keep} checkpoints would delete the last one`);
  let complete = 0;
  for (const step of await stepsOf(store, job)) {
    if (step > upTo) continue;
    const { data, manifest } = namesOf(job, step);
    if (complete >= keep) {
      // The manifest first: data without one is never taken for a checkpoint.
      await store.delete(manifest);
      await store.delete(data);
      continue;
    }
    const read = await findManifest(store, job, step);
    if (typeof read !== "string" && (await store.stat(data))?.bytes === read.bytes) complete += 1;
  }
}

function namesOf(job: string, step: number): { readonly data: string; readonly manifest: string } {
  const data = checkpointName(job, step);
  return { data, manifest: data.replace(/safetensors$/, "json") };
}

function namedTensors(
  specs: readonly TensorSpec[],
  { parameters, momentum }: { readonly parameters: Float32Array; readonly momentum: Float32Array },
): readonly NamedTensor[] {
  const named = (prefix: string, flat: Float32Array): readonly NamedTensor[] =>
    specs.map(({ name, shape, offset, size }) => ({
      name: `${prefix}/${name}`,
      shape,
      values: flat.subarray(offset, offset + size),
    }));
  return [...named("momentum", momentum), ...named("parameters", parameters)];
}

/** Steps that have data or a manifest, newest first. */
async function stepsOf(store: Store, job: string): Promise<readonly number[]> {
  const names = await store.list(`jobs/${job}/checkpoint-`);
  const steps = names.flatMap((name) => {
    const match = /\/checkpoint-(\d{8,15})\.(?:json|safetensors)$/.exec(name);
    return match === null ? [] : [Number(match[1])];
  });
  return [...new Set(steps)].toSorted((a, b) => b - a);
}

async function findManifest(
  store: Store,
  job: string,
  step: number,
): Promise<CheckpointManifest | string> {
  const name = namesOf(job, step).manifest;
  let manifest: CheckpointManifest | string;
  try {
    const found = await store.stat(name);
    if (found === undefined) return "it has no manifest: its save did not end";
    if (found.bytes > manifestBytesMax) return `its manifest has ${found.bytes} bytes`;
    manifest = decodeManifest(await readWhole(store, name));
  } catch (error) {
    return `its manifest cannot be read: ${unreadable(error)}`;
  }
  if (typeof manifest === "string") return manifest;
  return manifest.name === checkpointName(job, step)
    ? manifest
    : `its manifest is that of ${manifest.name}`;
}

/** Why: whatever of a checkpoint cannot be read, an older one leads to the same bits. Throws what is a fault of our own. */
function unreadable(error: unknown): string {
  if (error instanceof FormatError || error instanceof StoreError) return error.reason;
  // It was deleted between the look and the read.
  if (error instanceof FailureError) return error.message;
  throw error;
}

function wrongLength(
  found: { readonly bytes: number } | undefined,
  { bytes }: CheckpointManifest,
): string {
  return found === undefined ? "its data is gone" : `its data has ${found.bytes} of ${bytes} bytes`;
}

async function* hashed(
  chunks: Chunks,
  hash: ReturnType<typeof createHash>,
): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}
