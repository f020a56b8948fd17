/** The header of a `.npy` file: version, dtype, order and shape of one array. */

const magic = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** NumPy's own bound against headers that are made to be slow. */
export const npyHeaderBytesMax = 10_000;

/** Version 1.0, little-endian float32, C order, padded to 64 bytes as NumPy does. */
export function npyHeader(shape: readonly number[]): Uint8Array {
  const extents = shape.length === 1 ? `${shape.join()},` : shape.join(", ");
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${extents}), }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64;
  const header = new Uint8Array(length).fill(0x20);
  header.set([...magic, 1, 0, (length - 10) & 0xff, (length - 10) >> 8]);
  header.set(new TextEncoder().encode(text), 10);
  header[length - 1] = 0x0a;
  return header;
}

/**
 * The length of the header's text, which follows, or why the array is refused. `start` has the first 10
 * bytes. Versions 2 and 3 are for headers that no plain array needs.
 */
export function npyTextLength(start: Uint8Array): number | string {
  if (magic.some((byte, i) => start[i] !== byte)) return "is not a NumPy array";
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const version = view.getUint8(6);
  if (version !== 1) return `has version ${version} of the npy format, only 1 is read`;
  const length = view.getUint16(8, true);
  if (length <= npyHeaderBytesMax) return length;
  return `has a header of ${length} bytes, more than ${npyHeaderBytesMax}`;
}

export interface NpyArray {
  readonly shape: readonly number[];
  /** Of a value, a float. */
  readonly itemBytes: 2 | 4 | 8;
  readonly isLittleEndian: boolean;
  readonly isFortran: boolean;
}

/** The most bytes that a value may have. */
export const itemBytesMax = 8;

/**
 * What the header's text says of the array, or why the array is refused. The text is a Python literal; it
 * is matched against the one form that plain arrays have, and never evaluated.
 */
export function npyArray(text: string): NpyArray | string {
  const dtype = /'descr': *'([^']*)'/.exec(text)?.[1];
  if (dtype === undefined) return "has no plain dtype";
  if (dtype.includes("O")) return `holds Python objects (dtype ${dtype}), which are never loaded`;
  const itemBytes = itemSizes.get(dtype.slice(1));
  if (itemBytes === undefined || !/^[<>]/.test(dtype))
    return `has dtype ${dtype}, only float16, float32 and float64 are read`;
  const form =
    /^\{'descr': *'[<>]f[248]', *'fortran_order': *(True|False), *'shape': *\(([0-9, ]*)\),? *\}\s*$/;
  const match = form.exec(text);
  if (match === null) return "has a header that NumPy does not write";
  const extents = (match[2] ?? "").split(",").map((extent) => extent.trim());
  const shape = extents.filter((extent) => extent !== "").map(Number);
  if (!shape.every(Number.isSafeInteger)) return `has the shape (${match[2] ?? ""})`;
  return {
    shape,
    itemBytes,
    isLittleEndian: dtype.startsWith("<"),
    isFortran: match[1] === "True",
  };
}

const itemSizes: ReadonlyMap<string, NpyArray["itemBytes"]> = new Map([
  ["f2", 2],
  ["f4", 4],
  ["f8", 8],
]);
