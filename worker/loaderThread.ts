import { Loader } from "../src/data/loader.js";
import { openStored } from "../src/data/openStored.js";
import type { StoredData } from "../src/data/storedSource.js";
import { dataSetAt } from "../src/job/dataPlace.js";
import type { DataIndex } from "../src/data/dataIndex.js";
import type { Draw } from "../src/plan/sampler.js";
import { assert } from "../src/job/problem.js";
import { openStore } from "../src/store/openStore.js";
import { serve } from "./thread.js";

/** Decodes, resizes, crops and flips off the other threads. */

let loader: Loader | undefined;

const calls = {
  open: async (request: { readonly index: DataIndex; readonly store: string }): Promise<void> => {
    const { index, store } = request;
    const roots = [index.trainingRoot, index.validationRoot];
    const isStored = roots.some((root) => dataSetAt(root) !== undefined);
    loader = new Loader(index, { stored: isStored ? await storedAt(store) : undefined });
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

async function storedAt(address: string): Promise<StoredData> {
  return openStored(await openStore(address, process.env), address, process.env);
}

export type LoaderCalls = typeof calls;

function opened(): Loader {
  assert(loader !== undefined, "the loader is used before it is opened");
  return loader;
}

serve(calls);
