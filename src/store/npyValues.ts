import type { ByteReader } from "./byteReader.js";
import { float32Bytes } from "./float32Bytes.js";
import type { NpyArray } from "./npyHeader.js";

/** Values converted at once. */
const chunkValues = 65_536;

/**
 * Reads an array's values into C order and float32: as they are where the file has them so, and otherwise by conversion, where a
 * float64 is rounded to the nearest. False: the file has fewer.
 */
export async function readValues(
  reader: ByteReader,
  { shape, itemBytes, isLittleEndian, isFortran }: NpyArray,
  into: Float32Array,
): Promise<boolean> {
  if (itemBytes === 4 && isLittleEndian && !isFortran) return reader.fill(float32Bytes(into));
  const places = isFortran ? fortranPlaces(shape) : cPlaces();
  for (let first = 0; first < into.length; first += chunkValues) {
    const count = Math.min(chunkValues, into.length - first);
    const bytes = await reader.take(count * itemBytes);
    if (bytes === undefined) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; i < count; i += 1) {
      into[places.next()] = valueAt(view, i * itemBytes, itemBytes, isLittleEndian);
    }
  }
  return true;
}

function valueAt(
  view: DataView,
  at: number,
  itemBytes: NpyArray["itemBytes"],
  isLittleEndian: boolean,
): number {
  if (itemBytes === 4) return view.getFloat32(at, isLittleEndian);
  if (itemBytes === 8) return view.getFloat64(at, isLittleEndian);
  return fromHalf(view.getUint16(at, isLittleEndian));
}

/** A float16 by its bits: every one of them is a float32 too. */
function fromHalf(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Where the values of a file go, one after the other. */
interface Places {
  next(): number;
}

function cPlaces(): Places {
  let place = 0;
  return { next: () => place++ };
}

/** In Fortran order the first index runs fastest. */
function fortranPlaces(shape: readonly number[]): Places {
  const strides = shape.map((_, axis) => product(shape.slice(axis + 1)));
  const index = shape.map(() => 0);
  let place = 0;
  return {
    next: () => {
      const now = place;
      for (const [axis, extent] of shape.entries()) {
        const stride = strides[axis] ?? 0;
        const i = (index[axis] ?? 0) + 1;
        if (i < extent) {
          index[axis] = i;
          place += stride;
          break;
        }
        index[axis] = 0;
        place -= stride * (extent - 1);
      }
      return now;
    },
  };
}

function product(extents: readonly number[]): number {
  return extents.reduce((total, extent) => total * extent, 1);
}
