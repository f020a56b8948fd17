import { FailureError } from "../job/problem.js";
import { ByteReader } from "./byteReader.js";
import { float32Bytes, pieces } from "./float32Bytes.js";
import type { Chunks } from "./store.js";

/**
 * The safetensors format: 8 bytes with the length of a JSON header, the header (per tensor its dtype,
 * shape and offsets), then the tensors' bytes. Only float32 here.
 */

export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** C order, as many as the shape says. */
  readonly values: Float32Array;
}

/** The bytes are not those of a file with these tensors. */
export class FormatError extends FailureError {
  readonly reason: string;

  constructor(name: string, reason: string, cause?: unknown) {
    super(`${name} cannot be used: ${reason}`, { cause });
    this.reason = reason;
  }
}

const headerBytesMax = 10_000_000;

/** The bytes of a safetensors file; the same tensors give the same bytes in whatever order they come. */
export function* safetensorsChunks(tensors: readonly NamedTensor[]): Iterable<Uint8Array> {
  const sorted = tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  let offset = 0;
  const entries = sorted.map(({ name, shape, values }) => {
    const begin = offset;
    offset += values.byteLength;
    return [name, { dtype: "F32", shape, data_offsets: [begin, offset] }] as const;
  });
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  // Spaces after the JSON put the data on a multiple of 8, as the format asks.
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  yield header;
  for (const { values } of sorted) yield* pieces(float32Bytes(values));
}

/**
 * Reads a safetensors file into `tensors`, which have to be exactly those of the file. `name` is the
 * file's. Throws FormatError that names it, and the tensor, when anything is not as it should be.
 */
export async function readSafetensors(
  chunks: Chunks,
  tensors: readonly NamedTensor[],
  name: string,
): Promise<void> {
  const reader = new ByteReader(chunks);
  try {
    const found = await readHeader(reader, name);
    const wanted = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    for (const { name: tensorName, shape } of found) {
      const tensor = wanted.get(tensorName);
      check(tensor !== undefined, name, `it has a tensor "${tensorName}" that does not belong`);
      const sizes = `"${tensorName}" has shape (${shape.join(", ")}), not (${tensor.shape.join(", ")})`;
      check(shape.join() === tensor.shape.join(), name, sizes);
      const filled = await reader.fill(float32Bytes(tensor.values));
      check(filled, name, `it ends inside the tensor "${tensorName}"`);
      wanted.delete(tensorName);
    }
    const [missing] = wanted.keys();
    check(missing === undefined, name, `it lacks the tensor "${missing ?? ""}"`);
    check(await reader.atEnd(), name, "it goes on after its last tensor");
  } finally {
    await reader.close();
  }
}

interface Placed {
  readonly name: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** In the order of the data, which the offsets have to cover without gap or overlap. */
async function readHeader(reader: ByteReader, name: string): Promise<readonly Placed[]> {
  const prefix = await reader.take(8);
  check(prefix !== undefined, name, "it ends inside its header");
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  const bound = `its header of ${length.toString()} bytes is over ${headerBytesMax}`;
  check(length <= BigInt(headerBytesMax), name, bound);
  const json = await reader.take(Number(length));
  check(json !== undefined, name, "it ends inside its header");
  const header = entriesOf(parsed(json, name));
  check(header !== undefined, name, "its header is no object");
  const placed = header
    .filter(([tensorName]) => tensorName !== "__metadata__")
    .map(([tensorName, value]) => place(tensorName, value, name))
    .toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  let offset = 0;
  for (const { name: tensorName, begin, end } of placed) {
    check(begin === offset, name, `"${tensorName}" begins at ${begin}, not at ${offset}`);
    offset = end;
  }
  return placed;
}

function parsed(json: Uint8Array, name: string): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
    return value;
  } catch (error) {
    throw new FormatError(name, "its header is not JSON", error);
  }
}

function place(tensorName: string, value: unknown, name: string): Placed {
  const fields = new Map(entriesOf(value) ?? []);
  const dtype = fields.get("dtype");
  check(dtype === "F32", name, `"${tensorName}" has dtype ${JSON.stringify(dtype)}, not F32`);
  const shape = wholeNumbers(fields.get("shape"));
  check(shape !== undefined && shape.length <= 8, name, `"${tensorName}" has no usable shape`);
  const [begin, end, more] = wholeNumbers(fields.get("data_offsets")) ?? [];
  check(
    begin !== undefined && end !== undefined && more === undefined,
    name,
    `"${tensorName}" has no offsets`,
  );
  const bytes = shape.reduce((product, extent) => product * extent, 4);
  check(end - begin === bytes, name, `"${tensorName}" has ${end - begin} bytes for ${bytes}`);
  return { name: tensorName, shape, begin, end };
}

/** As pairs: on an object a field called `__proto__` could do harm. */
function entriesOf(value: unknown): [string, unknown][] | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return Object.entries(value);
}

function wholeNumbers(value: unknown): readonly number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const numbers = value.filter(
    (item): item is number => typeof item === "number" && Number.isSafeInteger(item) && item >= 0,
  );
  return numbers.length === value.length ? numbers : undefined;
}

function check(condition: boolean, name: string, reason: string): asserts condition {
  if (!condition) throw new FormatError(name, reason);
}
