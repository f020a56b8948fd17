import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { decodePicture } from "../../src/data/picture.js";
import { squash, type Picture } from "../../src/data/resize.js";

const folder = new URL("../golden/resize/", import.meta.url);

async function golden(name: string): Promise<Picture> {
  return decodePicture(await readFile(new URL(name, folder)), name);
}

test.each([
  ["photo", 128],
  ["photo", 160],
  ["photo", 480],
  ["small", 128],
  ["small", 160],
  ["small", 480],
])(
  "%s.png squashed to %i is the picture that Pillow makes, to the last bit",
  async (name, side) => {
    const ours = squash(await golden(`${name}.png`), side, side);
    const theirs = await golden(`${name}-${side}x${side}.png`);
    expect([ours.width, ours.height]).toEqual([theirs.width, theirs.height]);
    let largest = 0;
    let sum = 0;
    for (const [i, value] of ours.pixels.entries()) {
      const difference = Math.abs(value - (theirs.pixels[i] ?? -1));
      largest = Math.max(largest, difference);
      sum += difference;
    }
    expect({ largest, mean: sum / ours.pixels.length }).toEqual({ largest: 0, mean: 0 });
  },
);

test("a picture of the right size already is handed back untouched", async () => {
  const picture = await golden("small.png");
  expect(squash(picture, 32, 32)).toBe(picture);
});

test("the two sides are squashed each on its own", () => {
  const pixels = Uint8Array.from([0, 0, 0, 100, 100, 100, 200, 200, 200, 40, 80, 120]);
  const column = squash({ width: 4, height: 1, pixels }, 1, 3);
  expect([column.width, column.height, column.pixels.length]).toEqual([1, 3, 9]);
  // Three equal rows: one input row makes all of them.
  expect(column.pixels.subarray(0, 3)).toEqual(column.pixels.subarray(6, 9));
});

test("a constant picture stays constant at any size", () => {
  for (const side of [1, 2, 7, 31, 32, 100]) {
    const pixels = new Uint8Array(9 * 5 * 3).fill(255);
    const squashed = squash({ width: 9, height: 5, pixels }, side, side + 1);
    expect(squashed.pixels).toHaveLength(side * (side + 1) * 3);
    expect(squashed.pixels.every((value) => value === 255)).toBe(true);
  }
});
