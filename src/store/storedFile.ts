import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { temporaryFolder } from "../process/temporaryFolder.js";
import { FolderStore } from "./folderStore.js";
import type { Store } from "./store.js";

/** For readers that need a file and jump about in it: the one in the folder, else a copy for as long as `use` takes. */
export async function withStoredFile<T>(
  store: Store,
  name: string,
  use: (path: string) => Promise<T>,
): Promise<T> {
  if (store instanceof FolderStore) return use(await store.file(name));
  const folder = await temporaryFolder();
  try {
    const copy = join(folder, "copy");
    await pipeline(store.get(name), createWriteStream(copy));
    return await use(copy);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
