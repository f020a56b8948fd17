import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { crc32 } from "node:zlib";
import { expect, test } from "vitest";
import { mapBounded } from "../../src/data/bounded.js";
import { buildIndex } from "../../src/data/buildIndex.js";
import type { DataIndex } from "../../src/data/dataIndex.js";
import { Loader } from "../../src/data/loader.js";
import { decodePicture } from "../../src/data/picture.js";
import { PictureCache } from "../../src/data/pictureCache.js";
import { squash, type Picture } from "../../src/data/resize.js";
import { AssertionError, FailureError } from "../../src/job/problem.js";
import type { Draw } from "../../src/plan/sampler.js";
import { png, temporaryFolder, writeFiles } from "./temporaryFolder.js";

/** Pictures smaller and larger than what is asked for below, no two alike. */
async function indexed(): Promise<DataIndex> {
  const root = await temporaryFolder();
  const sizes = [
    [6, 6],
    [40, 30],
    [9, 14],
    [16, 16],
  ] as const;
  for (const [i, [width, height]] of sizes.entries()) {
    const bytes = png(width, height, (x, y) => [x * 6, y * 6 + i, (x * y * 7 + i * 31) % 256]);
    await writeFiles(root, { [`${i % 2 === 0 ? "even" : "odd"}/${i}.png`]: bytes });
  }
  return buildIndex(
    { data: root, validation: root, validationFraction: 0, seed: 0 },
    () => undefined,
    new AbortController().signal,
  );
}

function draw(example: number, parts: Partial<Draw> = {}): Draw {
  return { example, epoch: 0, top: 0, left: 0, flip: false, partner: 0, ...parts };
}

async function squashed(index: DataIndex, example: number, side: number): Promise<Picture> {
  const entry = index.training[example];
  const bytes = await readFile(join(index.trainingRoot, entry?.file ?? ""));
  return squash(await decodePicture(bytes, "reference"), side, side);
}

/** Pixel by pixel from the definition, slow and obvious. */
function cutOut(picture: Picture, { top, left, flip }: Draw, crop: number): Uint8Array {
  const out = new Uint8Array(crop * crop * 3);
  for (let y = 0; y < crop; y++) {
    for (let x = 0; x < crop; x++) {
      const from = left + (flip ? crop - 1 - x : x);
      for (const c of [0, 1, 2]) {
        out[(y * crop + x) * 3 + c] =
          picture.pixels[((top + y) * picture.width + from) * 3 + c] ?? 0;
      }
    }
  }
  return out;
}

const cut = { resize: 20, crop: 16, randomCrop: true };

test("training pictures are squashed, cropped at the draw's corner and flipped", async () => {
  const index = await indexed();
  const draws = [
    draw(0, { top: 4, left: 0, partner: 0 }),
    draw(3, { top: 1, left: 3, flip: true, partner: 1 }),
    draw(2, { flip: true, partner: 2 }),
    draw(0, { top: 2, left: 4, partner: 3 }),
  ];
  const { images, labels, checksum, ...rest } = await new Loader(index).training(draws, cut);
  const wanted: Uint8Array[] = [];
  for (const each of draws) wanted.push(cutOut(await squashed(index, each.example, 20), each, 16));
  expect(Buffer.concat(wanted).equals(images)).toBe(true);
  expect([...labels]).toEqual(draws.map(({ example }) => index.training[example]?.label));
  expect(new Set(labels).size).toBe(2);
  expect(checksum).toBeGreaterThan(0);
  expect(rest).toEqual({});
});

test("without random crop a picture is squashed to the crop at once", async () => {
  const index = await indexed();
  const draws = [draw(1), draw(2, { flip: true, partner: 1 })];
  const { images } = await new Loader(index).training(draws, { ...cut, randomCrop: false });
  const wanted = [
    cutOut(await squashed(index, 1, 16), draw(1), 16),
    cutOut(await squashed(index, 2, 16), draw(2, { flip: true }), 16),
  ];
  expect(Buffer.concat(wanted).equals(images)).toBe(true);
});

test("MixUp partners are the pictures of the slots that the draws point at, as augmented there", async () => {
  const index = await indexed();
  const draws = [
    draw(0, { partner: 2, top: 1 }),
    draw(1, { partner: 0, left: 2 }),
    draw(2, { partner: 1, flip: true }),
  ];
  const loaded = await new Loader(index).training(draws, cut);
  const slot = (i: number): Uint8Array => loaded.images.subarray(i * 768, (i + 1) * 768);
  const partners = Buffer.concat([slot(2), slot(0), slot(1)]);
  expect(partners.equals(loaded.partnerImages ?? new Uint8Array(0))).toBe(true);
  const [first, second, third] = loaded.labels;
  expect([...(loaded.partnerLabels ?? [])]).toEqual([third, first, second]);
});

test("evaluation squashes validation pictures in their order", async () => {
  const index = await indexed();
  const { images, labels } = await new Loader(index).evaluation(1, 4, 16);
  const wanted: Uint8Array[] = [];
  for (const example of [1, 2, 3]) wanted.push((await squashed(index, example, 16)).pixels);
  expect(Buffer.concat(wanted).equals(images)).toBe(true);
  expect([...labels]).toEqual(index.validation.slice(1, 4).map(({ label }) => label));
});

test("the checksum covers images and labels, and is the same again from the cache", async () => {
  const index = await indexed();
  const loader = new Loader(index);
  const draws = [draw(0), draw(1, { partner: 1 })];
  const first = await loader.training(draws, cut);
  const bytes = Buffer.concat([first.images, Buffer.from(first.labels.buffer)]);
  expect(first.checksum).toBe(crc32(bytes));
  expect(await loader.training(draws, cut)).toEqual(first);
  expect(await new Loader(index, { cacheBytes: 0, concurrency: 1 }).training(draws, cut)).toEqual(
    first,
  );
  const turned = await loader.training(
    [draws[0] ?? draw(0), draw(1, { flip: true, partner: 1 })],
    cut,
  );
  expect(turned.checksum).not.toBe(first.checksum);
});

test("a picture that changed after submit is refused by name", async () => {
  const index = await indexed();
  const path = join(index.trainingRoot, index.training[1]?.file ?? "");
  await writeFile(
    path,
    png(40, 30, () => [1, 1, 1]),
  );
  const loading = new Loader(index).training([draw(1)], cut);
  await expect(loading).rejects.toThrow(`${path} has changed since the job was submitted`);
  await expect(loading).rejects.toBeInstanceOf(FailureError);
});

test("a picture on a mount that is away for a while is read when the mount is back", async () => {
  const index = await indexed();
  const loader = new Loader(index, { rereadWaitsMs: Array<number>(500).fill(20) });
  const expected = await new Loader(index).training([draw(1)], cut);
  await rename(index.trainingRoot, `${index.trainingRoot}-away`);
  const loading = loader.training([draw(1)], cut);
  const early = await Promise.race([loading, sleep(100, "still waiting")]);
  expect(early).toBe("still waiting");
  await rename(`${index.trainingRoot}-away`, index.trainingRoot);
  expect((await loading).checksum).toBe(expected.checksum);
});

test("a picture that is gone is refused by name, and found again when it is back", async () => {
  const index = await indexed();
  const path = join(index.trainingRoot, index.training[1]?.file ?? "");
  const bytes = await readFile(path);
  await rm(path);
  const loader = new Loader(index, { rereadWaitsMs: [1, 1] });
  await expect(loader.evaluation(1, 2, 16)).rejects.toThrow(`${path} can no longer be read`);
  await writeFile(path, bytes);
  await loader.evaluation(1, 2, 16);
});

test("what the sampler could never ask for is our own bug", async () => {
  const loader = new Loader(await indexed());
  await expect(loader.training([draw(4)], cut)).rejects.toBeInstanceOf(AssertionError);
  await expect(loader.training([draw(0, { top: 5 })], cut)).rejects.toBeInstanceOf(AssertionError);
  await expect(loader.training([draw(0, { partner: 1 })], cut)).rejects.toBeInstanceOf(
    AssertionError,
  );
  await expect(loader.evaluation(2, 5, 16)).rejects.toBeInstanceOf(AssertionError);
});

const pictureOf = (bytes: number): Picture => ({
  width: bytes,
  height: 1,
  pixels: new Uint8Array(bytes),
});

test("the cache stays within its bytes and drops what was used longest ago", async () => {
  const cache = new PictureCache(10);
  const made: string[] = [];
  const get = (key: string, bytes: number): Promise<Picture> =>
    cache.get(key, async () => {
      made.push(key);
      return pictureOf(bytes);
    });
  await get("a", 4);
  await get("b", 4);
  await get("a", 4);
  await get("c", 4);
  expect(cache.bytes).toBe(8);
  await get("a", 4);
  expect(made).toEqual(["a", "b", "c"]);
  await get("b", 4);
  await get("huge", 11);
  await get("huge", 11);
  expect(made).toEqual(["a", "b", "c", "b", "huge", "huge"]);
  expect(cache.bytes).toBe(8);
});

test("a picture asked for twice at once is made once, and a failure is not kept", async () => {
  const cache = new PictureCache(10);
  let made = 0;
  const make = async (): Promise<Picture> => {
    made += 1;
    if (made === 1) throw new Error("first try");
    return pictureOf(2);
  };
  const outcomes = await Promise.allSettled([cache.get("a", make), cache.get("a", make)]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await Promise.all([cache.get("a", make), cache.get("a", make)]);
  expect([made, cache.bytes]).toEqual([2, 2]);
});

test("bounded work keeps its bound and its order, and starts nothing after a failure", async () => {
  let running = 0;
  let most = 0;
  const items = Array.from({ length: 20 }, (_, i) => i);
  const work = async (item: number): Promise<number> => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((done) => setTimeout(done, (item * 7) % 5));
    running -= 1;
    return item * 2;
  };
  expect(await mapBounded(items, 3, work)).toEqual(items.map((item) => item * 2));
  expect(most).toBe(3);

  const started: number[] = [];
  const failing = mapBounded(items, 2, async (item) => {
    started.push(item);
    await work(item);
    if (item === 4) throw new Error("four");
  });
  await expect(failing).rejects.toThrow("four");
  expect(running).toBe(0);
  expect(Math.max(...started)).toBeLessThan(12);
});
