import { dataSetAt } from "../job/dataPlace.js";
import { ConfigError } from "../job/problem.js";
import { FolderSource } from "./folderSource.js";
import type { PictureSource } from "./pictureSource.js";
import { StoredSource, type StoredData } from "./storedSource.js";

/** `root` is an absolute path or `store:NAME`; `linkRoots` are where links in a folder may lead too. */
export function sourceAt(
  root: string,
  stored: StoredData | undefined,
  linkRoots?: readonly string[],
): PictureSource {
  const name = dataSetAt(root);
  if (name === undefined) return new FolderSource(root, linkRoots);
  if (stored === undefined) throw new ConfigError(`${root} is in the store, and there is none`);
  return new StoredSource(name, stored);
}
