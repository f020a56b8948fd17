import { assert } from "../job/problem.js";

/** Pixels as rows of interleaved RGB, 8 bits a channel: `width * height * 3` bytes. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

/** Fixed-point bits of a coefficient: 32 less 8 of a sample and 2 of headroom, as Pillow has it. */
const precisionBits = 22;
const half = 1 << (precisionBits - 1);

/**
 * Squashes a picture to `width` x `height` with a triangle filter whose support grows with the
 * reduction (bilinear, antialiased): the resampler of Pillow (`Resample.c`), hence of the reference
 * training, in its 8-bit fixed-point arithmetic, horizontal pass first. Returns the same picture
 * when the size is already right.
 */
export function squash(picture: Picture, width: number, height: number): Picture {
  assert(width > 0 && height > 0, `a picture cannot be squashed to ${width} x ${height}`);
  const narrowed = picture.width === width ? picture : squashRows(picture, width);
  return narrowed.height === height ? narrowed : squashColumns(narrowed, height);
}

/** What one output sample is made of: `counts[i]` inputs from `firsts[i]`, weighed by a row of `weights`. */
interface Taps {
  readonly firsts: Int32Array;
  readonly counts: Int32Array;
  /** `stride` fixed-point coefficients per output sample. */
  readonly weights: Int32Array;
  readonly stride: number;
}

function tapsFor(inSize: number, outSize: number): Taps {
  const scale = inSize / outSize;
  const support = Math.max(scale, 1);
  const stride = Math.ceil(support) * 2 + 1;
  const firsts = new Int32Array(outSize);
  const counts = new Int32Array(outSize);
  const weights = new Int32Array(outSize * stride);
  const exact = new Float64Array(stride);
  for (let i = 0; i < outSize; i++) {
    const center = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const count = Math.min(Math.trunc(center + support + 0.5), inSize) - first;
    let sum = 0;
    for (let k = 0; k < count; k++) {
      // Pillow multiplies by the inverse; dividing would round some weights the other way.
      const distance = Math.abs((k + first - center + 0.5) * (1 / support));
      const weight = distance < 1 ? 1 - distance : 0;
      exact[k] = weight;
      sum += weight;
    }
    for (let k = 0; k < count; k++) {
      const weight = (exact[k] ?? 0) / sum;
      weights[i * stride + k] = Math.trunc(0.5 + weight * (1 << precisionBits));
    }
    firsts[i] = first;
    counts[i] = count;
  }
  return { firsts, counts, weights, stride };
}

function squashRows(picture: Picture, width: number): Picture {
  const { height, pixels } = picture;
  const { firsts, counts, weights, stride } = tapsFor(picture.width, width);
  const out = new Uint8ClampedArray(width * height * 3);
  let target = 0;
  for (let y = 0; y < height; y++) {
    const row = y * picture.width * 3;
    for (let x = 0; x < width; x++) {
      let source = row + (firsts[x] ?? 0) * 3;
      let red = half;
      let green = half;
      let blue = half;
      const end = x * stride + (counts[x] ?? 0);
      for (let k = x * stride; k < end; k++) {
        const weight = weights[k] ?? 0;
        red += (pixels[source] ?? 0) * weight;
        green += (pixels[source + 1] ?? 0) * weight;
        blue += (pixels[source + 2] ?? 0) * weight;
        source += 3;
      }
      out[target] = red >> precisionBits;
      out[target + 1] = green >> precisionBits;
      out[target + 2] = blue >> precisionBits;
      target += 3;
    }
  }
  return { width, height, pixels: new Uint8Array(out.buffer) };
}

/** Row by row rather than column by column, so that memory is read in order. */
function squashColumns(picture: Picture, height: number): Picture {
  const { width, pixels } = picture;
  const { firsts, counts, weights, stride } = tapsFor(picture.height, height);
  const rowBytes = width * 3;
  const out = new Uint8ClampedArray(rowBytes * height);
  const sums = new Int32Array(rowBytes);
  for (let y = 0; y < height; y++) {
    sums.fill(half);
    const count = counts[y] ?? 0;
    for (let k = 0; k < count; k++) {
      const weight = weights[y * stride + k] ?? 0;
      const row = ((firsts[y] ?? 0) + k) * rowBytes;
      for (let i = 0; i < rowBytes; i++) {
        sums[i] = (sums[i] ?? 0) + (pixels[row + i] ?? 0) * weight;
      }
    }
    const target = y * rowBytes;
    for (let i = 0; i < rowBytes; i++) out[target + i] = (sums[i] ?? 0) >> precisionBits;
  }
  return { width, height, pixels: new Uint8Array(out.buffer) };
}
