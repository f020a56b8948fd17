import { createHash } from "node:crypto";
import type { TensorSpec } from "../bit/architecture.js";

/** What makes a checkpoint valid: written after its data, it says what the data has to be. */
export interface CheckpointManifest {
  /** Of the safetensors file in the store. */
  readonly name: string;
  readonly job: string;
  readonly attempt: number;
  /** Updates applied. */
  readonly step: number;
  /** Of the coordinator's reign in which it was written. */
  readonly term: number;
  readonly model: string;
  readonly classes: number;
  /** SHA-256 over names and shapes: parameters are a flat vector, so the layout has to be the same. */
  readonly layoutDigest: string;
  /** SHA-256 over the parameters, as `status` shows it. */
  readonly parameterDigest: string;
  /** Of the safetensors file. */
  readonly sha256: string;
  readonly bytes: number;
}

const format = "bitfleet-checkpoint-1";
export const manifestBytesMax = 65_536;

export function layoutDigest(specs: readonly TensorSpec[]): string {
  const layout = specs.map(({ name, shape }) => [name, shape]);
  return createHash("sha256").update(JSON.stringify(layout)).digest("hex");
}

/** One spelling for one manifest, with a digest of itself, so that no byte of it can change unseen. */
export function encodeManifest(manifest: CheckpointManifest): Uint8Array {
  const { name, job, attempt, step, term, model, classes } = manifest;
  const { layoutDigest, parameterDigest, sha256, bytes } = manifest;
  const body = {
    format,
    ...{ name, job, attempt, step, term, model, classes },
    ...{ layoutDigest, parameterDigest, sha256, bytes },
  };
  const self = createHash("sha256").update(JSON.stringify(body)).digest("hex");
  return new TextEncoder().encode(`${JSON.stringify({ ...body, self }, undefined, 1)}\n`);
}

/** The manifest, or why it is none. */
export function decodeManifest(encoded: Uint8Array): CheckpointManifest | string {
  const fields = fieldsOf(encoded);
  if (fields === undefined) return "its manifest is not JSON";
  if (fields.get("format") !== format) return `its manifest is not of format ${format}`;
  const text = (name: string): string => {
    const value = fields.get(name);
    return typeof value === "string" ? value : "";
  };
  const count = (name: string): number => {
    const value = fields.get(name);
    return typeof value === "number" && Number.isSafeInteger(value) ? value : -1;
  };
  const manifest: CheckpointManifest = {
    name: text("name"),
    job: text("job"),
    attempt: count("attempt"),
    step: count("step"),
    term: count("term"),
    model: text("model"),
    classes: count("classes"),
    layoutDigest: text("layoutDigest"),
    parameterDigest: text("parameterDigest"),
    sha256: text("sha256"),
    bytes: count("bytes"),
  };
  // Whatever was missing, added, misspelt or flipped: the right spelling of what was read differs.
  const right = Buffer.from(encodeManifest(manifest));
  if (!right.equals(encoded) || Object.values(manifest).includes(-1))
    return "its manifest is damaged";
  return manifest;
}

function fieldsOf(encoded: Uint8Array): ReadonlyMap<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(encoded));
    return new Map(Object.entries(value ?? {}));
  } catch {
    return undefined;
  }
}
