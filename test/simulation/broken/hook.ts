import type { InitializeHook, LoadHook } from "node:module";
import type { BrokenCopy } from "./copies.js";

/** Loads one module as the broken copy has it. */
let copy: BrokenCopy | undefined;

export const initialize: InitializeHook<BrokenCopy> = (data) => {
  copy = data;
};

export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  if (copy === undefined || !url.endsWith(`/dist/${copy.file}`)) return loaded;
  const { source } = loaded;
  const text = typeof source === "string" ? source : new TextDecoder().decode(source);
  const parts = text.split(copy.from);
  if (parts.length !== 2) {
    throw new Error(`"${copy.from}" occurs ${parts.length - 1} times in ${copy.file}`);
  }
  return { ...loaded, source: parts.join(copy.to) };
};
