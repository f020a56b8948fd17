import type { Entry, ZipFile } from "yauzl";
import { isHead, type TensorSpec } from "../bit/architecture.js";
import { ConfigError, reasonOf } from "../job/problem.js";
import { ByteReader } from "./byteReader.js";
import { firstNonFinite } from "./finite.js";
import {
  itemBytesMax,
  npyArray,
  npyHeaderBytesMax,
  npyTextLength,
  type NpyArray,
} from "./npyHeader.js";
import { readValues } from "./npyValues.js";
import { listZip, openZip, readMember } from "./readZip.js";

export interface Weights {
  /** Flat, in the order of the specs. The head is zero when `headLoaded` is false. */
  readonly parameters: Float32Array;
  /** Classes that the file's own head has. */
  readonly headClasses: number;
  readonly headLoaded: boolean;
}

const headKernel = "resnet/head/conv2d/kernel";

/**
 * Reads an npz file of BiT weights, published ones (compressed or not), converted ones (float16 or float64, Fortran order,
 * big-endian) or our own, as data: no object array, no header beyond NumPy's bound, no member that is not the model's, and never more bytes than
 * the model has. With `allowOtherHead` a head of another number of classes is left out.
 *
 * Throws ConfigError that names the file, the tensor and what is wrong with it.
 */
export async function readNpz(
  path: string,
  specs: readonly TensorSpec[],
  { allowOtherHead }: { readonly allowOtherHead: boolean },
): Promise<Weights> {
  const zip = await openZip(path);
  try {
    const members = pair(specs, await listZip(zip));
    const last = specs.at(-1);
    const parameters = new Float32Array(last === undefined ? 0 : last.offset + last.size);
    let headLoaded = true;
    let headClasses = 0;
    for (const [spec, entry] of members) {
      const into = parameters.subarray(spec.offset, spec.offset + spec.size);
      const shape = await readTensor(zip, entry, { spec, into, allowOtherHead });
      if (spec.name === headKernel) headClasses = shape.at(-1) ?? 0;
      if (!sameShape(shape, spec.shape)) headLoaded = false;
    }
    // Half a head, from a file whose kernel and bias disagree, must not stay.
    if (!headLoaded) {
      for (const { name, offset, size } of specs) {
        if (isHead(name)) parameters.fill(0, offset, offset + size);
      }
    }
    return { parameters, headClasses, headLoaded };
  } catch (error) {
    const reason = reasonOf(error);
    throw new ConfigError(`the weights ${path} cannot be used: ${reason}`, { cause: error });
  } finally {
    zip.close();
  }
}

/** Throws where the names are not exactly those of the model. */
function pair(
  specs: readonly TensorSpec[],
  members: ReadonlyMap<string, Entry>,
): readonly (readonly [TensorSpec, Entry])[] {
  const left = new Set(members.keys());
  const pairs = specs.map((spec) => {
    const entry = members.get(`${spec.name}.npy`);
    if (entry === undefined) throw new ConfigError(`they lack the tensor ${spec.name}`);
    left.delete(`${spec.name}.npy`);
    return [spec, entry] as const;
  });
  const [extra] = left;
  if (extra === undefined) return pairs;
  const more = left.size > 1 ? ` and ${left.size - 1} more` : "";
  throw new ConfigError(`they have ${extra}${more}, which the model does not have`);
}

interface Target {
  readonly spec: TensorSpec;
  readonly into: Float32Array;
  readonly allowOtherHead: boolean;
}

/** Fills `into` and returns the shape in the file; leaves it alone for an allowed other head. */
async function readTensor(
  zip: ZipFile,
  entry: Entry,
  { spec, into, allowOtherHead }: Target,
): Promise<readonly number[]> {
  const { name } = spec;
  // Said before anything is inflated: a small member could claim, or hold, any number of bytes.
  const bytesMax = into.length * itemBytesMax + npyHeaderBytesMax + 12;
  const other = allowOtherHead && isHead(name);
  if (entry.uncompressedSize > bytesMax && !other) {
    const size = `${entry.uncompressedSize} bytes, more than (${spec.shape.join(", ")}) has`;
    throw new ConfigError(`the tensor ${name} has ${size}`);
  }
  const reader = new ByteReader(readMember(zip, entry));
  try {
    const array = await readHeader(reader, name);
    const { shape } = array;
    if (!sameShape(shape, spec.shape)) {
      if (other && isOtherHead(shape, spec.shape)) return shape;
      const wanted = `(${spec.shape.join(", ")}) is wanted`;
      throw new ConfigError(`the tensor ${name} has shape (${shape.join(", ")}) where ${wanted}`);
    }
    if (!(await readValues(reader, array, into)) || !(await reader.atEnd())) {
      throw new ConfigError(`the tensor ${name} does not have as many bytes as its shape says`);
    }
  } finally {
    await reader.close();
  }
  const bad = firstNonFinite(into);
  if (bad >= 0) throw new ConfigError(`the tensor ${name} has ${into[bad] ?? 0} at ${bad}`);
  return spec.shape;
}

async function readHeader(reader: ByteReader, name: string): Promise<NpyArray> {
  const start = await reader.take(10);
  const refuse = (reason: string): never => {
    throw new ConfigError(`the tensor ${name} ${reason}`);
  };
  if (start === undefined) return refuse("is not a NumPy array");
  const length = npyTextLength(start);
  if (typeof length === "string") return refuse(length);
  const text = await reader.take(length);
  if (text === undefined) return refuse("ends inside its header");
  const array = npyArray(new TextDecoder("latin1").decode(text));
  return typeof array === "string" ? refuse(array) : array;
}

/** The same but for the last extent, the number of classes. */
function isOtherHead(shape: readonly number[], wanted: readonly number[]): boolean {
  return sameShape(shape.slice(0, -1), wanted.slice(0, -1)) && (shape.at(-1) ?? 0) > 0;
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, i) => extent === b[i]);
}
