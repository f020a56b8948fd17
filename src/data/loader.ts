import { totalmem } from "node:os";
import { crc32 } from "node:zlib";
import { assert } from "../job/problem.js";
import type { Draw } from "../plan/sampler.js";
import { concurrencyDefault, fileMemory, mapBounded } from "./bounded.js";
import type { DataIndex, ExampleEntry } from "./dataIndex.js";
import { withPicture } from "./picture.js";
import { PictureCache } from "./pictureCache.js";
import type { PictureSource } from "./pictureSource.js";
import { sourceAt } from "./openSource.js";
import { rereadPatiently, rereadWaitsMs } from "./rereading.js";
import { squash, type Picture } from "./resize.js";
import type { StoredData } from "./storedSource.js";

export interface LoaderOptions {
  /** Bytes of pixels kept between calls. Default: 1 GiB, or an eighth of the memory if less. */
  readonly cacheBytes?: number;
  /** Files read and decoded at once. */
  readonly concurrency?: number;
  /** Waits between two tries to read a picture. */
  readonly rereadWaitsMs?: readonly number[];
  /** Needed where the index is of a data set in the store. */
  readonly stored?: StoredData | undefined;
}

/** How a training picture is cut, as in the sampler's plan. */
export interface Cut {
  /** Side that the picture is squashed to before a crop of side `crop` is taken. */
  readonly resize: number;
  readonly crop: number;
  /** False: the picture is squashed to `crop` straight away, and `resize` is not used. */
  readonly randomCrop: boolean;
}

export interface Examples {
  /** uint8, (n, crop, crop, 3). */
  readonly images: Uint8Array;
  readonly labels: Int32Array;
  /** CRC-32 over the bytes of images and then labels. */
  readonly checksum: number;
}

export interface TrainingExamples extends Examples {
  /** What `draw.partner` points at, slot by slot; absent when every slot is its own partner. */
  readonly partnerImages?: Uint8Array;
  readonly partnerLabels?: Int32Array;
}

/**
 * Turns examples into the bytes that the model sees. The same index and draws give the same bytes
 * on every worker of one decoder version. Throws UnreadableError naming the file when one cannot be read for some time, and
 * FailureError when it is no longer what it was when the job was submitted.
 */
export class Loader {
  readonly #index: DataIndex;
  readonly #concurrency: number;
  readonly #waitsMs: readonly number[];
  readonly #cache: PictureCache;
  readonly #trainingSource: PictureSource;
  readonly #validationSource: PictureSource;

  constructor(index: DataIndex, options: LoaderOptions = {}) {
    this.#index = index;
    this.#trainingSource = sourceAt(index.trainingRoot, options.stored);
    this.#validationSource = sourceAt(index.validationRoot, options.stored);
    this.#concurrency = options.concurrency ?? concurrencyDefault;
    this.#waitsMs = options.rereadWaitsMs ?? rereadWaitsMs;
    const cacheBytes = options.cacheBytes ?? Math.min(2 ** 30, Math.floor(totalmem() / 8));
    this.#cache = new PictureCache(cacheBytes);
  }

  /** `draws` are all those of one shard, since partners are slots of it. */
  async training(draws: readonly Draw[], cut: Cut): Promise<TrainingExamples> {
    const { crop } = cut;
    const side = cut.randomCrop ? cut.resize : crop;
    const imageBytes = crop * crop * 3;
    const images = new Uint8Array(draws.length * imageBytes);
    const labels = new Int32Array(draws.length);
    await mapBounded(draws, this.#concurrency, async (draw, slot) => {
      const { top, left } = cut.randomCrop ? draw : { top: 0, left: 0 };
      assert(top + crop <= side && left + crop <= side, `crop ${top}, ${left} of side ${side}`);
      const entry = entryAt(this.#index.training, draw.example);
      const picture = await this.#squashed(entry, this.#trainingSource, side);
      const image = images.subarray(slot * imageBytes, (slot + 1) * imageBytes);
      cropInto(image, picture, { top, left, crop, flip: draw.flip });
      labels[slot] = entry.label;
    });
    const checksum = checksumOf(images, labels);
    if (draws.every(({ partner }, slot) => partner === slot)) return { images, labels, checksum };

    const partnerImages = new Uint8Array(images.length);
    const partnerLabels = new Int32Array(labels.length);
    for (const [slot, { partner }] of draws.entries()) {
      const label = labels[partner];
      assert(label !== undefined, `partner ${partner} of ${draws.length} slots`);
      const image = images.subarray(partner * imageBytes, (partner + 1) * imageBytes);
      partnerImages.set(image, slot * imageBytes);
      partnerLabels[slot] = label;
    }
    return { images, labels, partnerImages, partnerLabels, checksum };
  }

  /** Validation examples `first` to `end` (exclusive), each squashed to `crop` x `crop`. */
  async evaluation(first: number, end: number, crop: number): Promise<Examples> {
    const entries = this.#index.validation.slice(first, end);
    assert(first < end && entries.length === end - first, `examples ${first} to ${end}`);
    const imageBytes = crop * crop * 3;
    const images = new Uint8Array(entries.length * imageBytes);
    await mapBounded(entries, this.#concurrency, async (entry, slot) => {
      const picture = await this.#squashed(entry, this.#validationSource, crop);
      images.set(picture.pixels, slot * imageBytes);
    });
    const labels = Int32Array.from(entries, ({ label }) => label);
    return { images, labels, checksum: checksumOf(images, labels) };
  }

  #read(entry: ExampleEntry, source: PictureSource): Promise<Uint8Array> {
    return rereadPatiently(source, entry, this.#waitsMs);
  }

  /** Keeps whichever is smaller, the picture as it was or as it is wanted: decoding is the cost. */
  async #squashed(entry: ExampleEntry, source: PictureSource, side: number): Promise<Picture> {
    const path = source.pathOf(entry.file);
    const kept = await this.#cache.get(`${side} ${path}`, async () => {
      const smaller = (picture: Picture): Picture =>
        picture.pixels.length <= side * side * 3 ? picture : squash(picture, side, side);
      const bound = { pixelsMax: entry.width * entry.height, isKnown: true };
      return fileMemory.run(entry.bytes, async () =>
        withPicture(await this.#read(entry, source), path, smaller, bound),
      );
    });
    return squash(kept, side, side);
  }
}

function entryAt(entries: readonly ExampleEntry[], i: number): ExampleEntry {
  const entry = entries[i];
  assert(entry !== undefined, `example ${i} of ${entries.length}`);
  return entry;
}

function cropInto(
  image: Uint8Array,
  picture: Picture,
  { top, left, crop, flip }: { top: number; left: number; crop: number; flip: boolean },
): void {
  const rowBytes = crop * 3;
  for (let y = 0; y < crop; y++) {
    const start = ((top + y) * picture.width + left) * 3;
    const row = picture.pixels.subarray(start, start + rowBytes);
    const target = y * rowBytes;
    if (!flip) {
      image.set(row, target);
      continue;
    }
    for (let i = 0; i < rowBytes; i += 3) {
      const mirrored = target + rowBytes - 3 - i;
      image[mirrored] = row[i] ?? 0;
      image[mirrored + 1] = row[i + 1] ?? 0;
      image[mirrored + 2] = row[i + 2] ?? 0;
    }
  }
}

function checksumOf(images: Uint8Array, labels: Int32Array): number {
  return crc32(new Uint8Array(labels.buffer), crc32(images));
}
