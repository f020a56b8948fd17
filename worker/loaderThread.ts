import sharp from "sharp";
import { confirmIndex } from "../src/data/buildIndex.js";
import { Loader } from "../src/data/loader.js";
import { openStored } from "../src/data/openStored.js";
import { decodePicture } from "../src/data/picture.js";
import { squash } from "../src/data/resize.js";
import { readIndex } from "../src/data/storedIndex.js";
import { Random } from "../src/plan/random.js";
import type { Draw } from "../src/plan/sampler.js";
import { assert } from "../src/job/problem.js";
import { openStore } from "../src/store/openStore.js";
import { serve } from "./thread.js";

/** Decodes, resizes, crops and flips off the other threads. */

let loader: Loader | undefined;

const calls = {
  /** Reads the index of the job's data and checks that this machine sees them too. */
  open: async (request: {
    readonly indexDigest: string;
    readonly store: string;
  }): Promise<void> => {
    const store = await openStore(request.store, process.env);
    const stored = openStored(store, request.store, process.env);
    const index = await readIndex(store, request.indexDigest);
    await confirmIndex(index, stored);
    loader = new Loader(index, { stored });
  },
  /** For the probe: the same JPEG everywhere, made here so that no file is needed, decoded and resized as data is. */
  madeUpPicture: async (side: number): Promise<Uint8Array> => {
    const random = new Random(0x9e3779b9);
    const coarse = Uint8Array.from({ length: 12 * 8 * 3 }, () => random.below(256));
    const raw = { width: 12, height: 8, channels: 3 } as const;
    const jpeg = await sharp(coarse, { raw }).resize(96, 64).jpeg({ quality: 90 }).toBuffer();
    return squash(await decodePicture(jpeg, "the probe's picture"), side, side).pixels;
  },
  training: (request: {
    readonly draws: readonly Draw[];
    readonly resize: number;
    readonly crop: number;
    readonly randomCrop: boolean;
  }) => opened().training(request.draws, request),
  evaluation: (request: { readonly first: number; readonly end: number; readonly crop: number }) =>
    opened().evaluation(request.first, request.end, request.crop),
};

export type LoaderCalls = typeof calls;

function opened(): Loader {
  assert(loader !== undefined, "the loader is used before it is opened");
  return loader;
}

serve(calls);
