import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";

/** test/cases/images: pictures that pipelines like ours get wrong, and what is right of each. */
const folder = new URL("../cases/images/", import.meta.url);

export interface PictureCase {
  readonly ok: boolean;
  readonly width: number;
  readonly height: number;
  /** Mean colour of the quarters: top left, top right, bottom left, bottom right. */
  readonly quarterMeans: readonly (readonly number[])[];
  readonly tolerance: number;
}

// The file is part of the test: its shape is known.
const expected = JSON.parse(readFileSync(new URL("expected.json", folder), "utf8")) as Record<
  string,
  PictureCase
>;
export const readable = Object.entries(expected).filter(([, { ok }]) => ok);
export const unreadable = Object.keys(expected).filter((name) => expected[name]?.ok === false);

export function bytesOf(name: string): Promise<Buffer> {
  return readFile(new URL(encodeURIComponent(name), folder));
}

export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** Three channels. */
  readonly pixels: Uint8Array;
}

/** The largest difference of a quarter's mean colour from what it should be. */
export function worstQuarter(picture: Pixels, { quarterMeans }: PictureCase): number {
  const means = [
    meanColor(picture, false, false),
    meanColor(picture, true, false),
    meanColor(picture, false, true),
    meanColor(picture, true, true),
  ];
  const worst = means.map((mean, quarter) =>
    Math.max(...mean.map((v, c) => Math.abs(v - (quarterMeans[quarter]?.[c] ?? -999)))),
  );
  return Math.max(...worst);
}

/** Mean colour of the rectangle from (left, top), clamped to one pixel at least. */
function meanColor(picture: Pixels, right: boolean, bottom: boolean): readonly number[] {
  const { width, height, pixels } = picture;
  const [x0, x1] = half(width, right);
  const [y0, y1] = half(height, bottom);
  const sums = [0, 0, 0];
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      for (const c of [0, 1, 2]) sums[c] = (sums[c] ?? 0) + (pixels[(y * width + x) * 3 + c] ?? 0);
    }
  }
  return sums.map((sum) => sum / ((x1 - x0) * (y1 - y0)));
}

function half(size: number, second: boolean): readonly [number, number] {
  if (size === 1) return [0, 1];
  return second ? [size >> 1, size] : [0, size >> 1];
}
