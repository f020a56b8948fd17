import { Loader } from "../src/data/loader.js";
import type { DataIndex } from "../src/data/dataIndex.js";
import type { Draw } from "../src/plan/sampler.js";
import { assert } from "../src/job/problem.js";
import { serve } from "./thread.js";

/** Decodes, resizes, crops and flips off the other threads. */

let loader: Loader | undefined;

const calls = {
  open: (index: DataIndex): void => {
    loader = new Loader(index);
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
