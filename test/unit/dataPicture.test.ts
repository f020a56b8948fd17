import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { Budget } from "../../src/data/budget.js";
import { decodePicture, decoderVersion, withPicture } from "../../src/data/picture.js";
import { fileBytesMax } from "../../src/data/pictureBounds.js";
import type { Picture } from "../../src/data/resize.js";
import { ConfigError } from "../../src/job/problem.js";
import { pixelsSetting } from "../../src/process/pixelsSetting.js";
import { bytesOf, readable, unreadable, worstQuarter } from "./pictureCases.js";
import { png } from "./temporaryFolder.js";

async function decode(name: string): Promise<Picture> {
  return decodePicture(await bytesOf(name), name);
}

describe("pictures of every kind", () => {
  test("there are enough of them", () => {
    expect([readable.length, unreadable.length]).toEqual([15, 4]);
  });

  test.each(readable)("%s is decoded upright in three channels", async (name, wanted) => {
    const picture = await decode(name);
    const { width, height, pixels } = picture;
    expect([width, height, pixels.length]).toEqual([
      wanted.width,
      wanted.height,
      wanted.width * wanted.height * 3,
    ]);
    expect(worstQuarter(picture, wanted)).toBeLessThanOrEqual(wanted.tolerance);
  });

  test.each(unreadable)("%s is refused by its name", async (name) => {
    const refused = await decode(name).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(ConfigError);
    expect(String(refused)).toContain(`the picture ${name} cannot be read: `);
    expect(String(refused)).not.toContain("\n");
  });

  test("16-bit samples decode like their 8-bit twin", async () => {
    const [deep, twin] = [await decode("gray-16bit.png"), await decode("gray-8bit-twin.png")];
    const differences = deep.pixels.map((value, i) => Math.abs(value - (twin.pixels[i] ?? 0)));
    expect(Math.max(...differences)).toBeLessThanOrEqual(1);
  });

  test("a picture of 1.6 gigapixels is refused without memory", async () => {
    const bytes = await bytesOf("bomb-40000x40000.png");
    const before = process.resourceUsage().maxRSS;
    await expect(decodePicture(bytes, "bomb")).rejects.toThrow(
      "bomb cannot be read: it has more than 150000000 pixels; BITFLEET_PICTURE_PIXELS allows more",
    );
    expect(process.resourceUsage().maxRSS - before).toBeLessThan(50_000);
  });
});

test("the bound on pixels is a setting, and what cameras make is below its default", async () => {
  // 61 and 102 megapixels.
  for (const [width, height] of [
    [9504, 6336],
    [11648, 8736],
  ] as const) {
    const bytes = await flat(width, height);
    const sides = await withPicture(bytes, "camera.jpg", (picture) => picture.pixels.length);
    expect(sides).toBe(width * height * 3);
  }
  const small = png(40, 30, () => [1, 2, 3]);
  expect((await decodePicture(small, "a.png", { pixelsMax: 1200 })).width).toBe(40);
  await expect(decodePicture(small, "a.png", { pixelsMax: 1199 })).rejects.toThrow(
    "a.png cannot be read: it has more than 1199 pixels",
  );
  expect(pixelsSetting({})).toBe(150_000_000);
  expect(pixelsSetting({ BITFLEET_PICTURE_PIXELS: "50" })).toBe(50);
  expect(() => pixelsSetting({ BITFLEET_PICTURE_PIXELS: "2e9" })).toThrow(
    'BITFLEET_PICTURE_PIXELS is "2e9", but must be a whole number from 1 to 1000000000',
  );
}, 120_000);

function flat(width: number, height: number, progressive = false): Promise<Buffer> {
  const create = { width, height, channels: 3, background: "#4080c0" } as const;
  return sharp({ create, limitInputPixels: false }).jpeg({ progressive }).toBuffer();
}

test("many large pictures at once take the memory of a few", async () => {
  const bytes = await flat(8000, 6000, true);
  const before = process.memoryUsage.rss();
  let peak = 0;
  const looking = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 10);
  const all = Array.from({ length: 8 }, (_, i) =>
    withPicture(bytes, `${i}.jpg`, ({ width, height }) => width * height),
  );
  expect(await Promise.all(all)).toEqual(all.map(() => 48_000_000));
  clearInterval(looking);
  // Each takes some 450 MB, and Node has four threads for them.
  expect(peak - before).toBeLessThan(1e9);
}, 240_000);

test("work is let in by its weight and in its order, and what is too heavy runs alone", async () => {
  const budget = new Budget(10);
  const log: string[] = [];
  const ends: (() => void)[] = [];
  const start = (name: string, weight: number): Promise<void> =>
    budget.run(weight, async () => {
      log.push(name);
      await new Promise<void>((end) => ends.push(end));
    });
  const all = [start("a", 6), start("b", 4), start("heavy", 25), start("c", 1), start("d", 9)];
  const next = async (): Promise<void> => {
    ends.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  await next();
  expect(log).toEqual(["a", "b"]);
  await next();
  expect(log).toEqual(["a", "b", "heavy"]);
  await next();
  expect(log).toEqual(["a", "b", "heavy", "c", "d"]);
  await next();
  await next();
  await Promise.all(all);
  await expect(budget.run(25, () => Promise.reject(new Error("broken")))).rejects.toThrow("broken");
  expect(await budget.run(25, () => Promise.resolve(1))).toBe(1);
});

test("the pixels of a PNG come out as they were put in", async () => {
  const picture = await decodePicture(
    png(3, 2, (x, y) => [x * 10, y * 20, 200]),
    "made.png",
  );
  expect(picture.pixels).toEqual(
    Buffer.from([0, 0, 200, 10, 0, 200, 20, 0, 200, 0, 20, 200, 10, 20, 200, 20, 20, 200]),
  );
});

test("what is transparent becomes black, whatever colour hides under it", async () => {
  const pixels = Buffer.from([255, 0, 0, 255, 255, 0, 0, 0, 0, 200, 0, 128]);
  const bytes = await sharp(pixels, { raw: { width: 3, height: 1, channels: 4 } })
    .png()
    .toBuffer();
  const picture = await decodePicture(bytes, "alpha.png");
  expect([...picture.pixels.subarray(0, 6)]).toEqual([255, 0, 0, 0, 0, 0]);
  expect(Math.abs((picture.pixels[7] ?? 0) - 100)).toBeLessThanOrEqual(1);
});

test.each(["tiff", "avif"] as const)("%s is refused, whatever its name says", async (format) => {
  // The loaders are blocked, not the savers.
  const bytes = await sharp(png(8, 8, () => [1, 2, 3]))
    .toFormat(format)
    .toBuffer();
  await expect(decodePicture(bytes, "a.png")).rejects.toThrow(
    "a.png cannot be read: it is not a JPEG, PNG, WebP or GIF",
  );
});

test("an SVG is refused, whatever its name says", async () => {
  const bytes = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  await expect(decodePicture(bytes, "a.png")).rejects.toThrow("it is not a JPEG, PNG, WebP or GIF");
});

test("a file beyond the bound on bytes is refused before it is opened", async () => {
  await expect(decodePicture(new Uint8Array(fileBytesMax + 1), "big.png")).rejects.toThrow(
    `big.png cannot be read: ${fileBytesMax + 1} bytes are more than ${fileBytesMax}`,
  );
});

test("a PNG with a flipped byte in its pixels is refused", async () => {
  const bytes = Uint8Array.from(png(64, 64, (x, y) => [x, y, x ^ y]));
  bytes[bytes.length - 30] = (bytes[bytes.length - 30] ?? 0) ^ 0x10;
  await expect(decodePicture(bytes, "flipped.png")).rejects.toThrow("flipped.png cannot be read");
});

test("the decoder's version names sharp and libvips", () => {
  expect(decoderVersion()).toMatch(/^sharp \d+\.\d+\.\d+, vips \d+\.\d+\.\d+/);
});
