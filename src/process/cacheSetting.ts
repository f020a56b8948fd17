import { join, resolve } from "node:path";
import { numberOrDefault, textOf } from "./readSetting.js";
import { userHome } from "./stateFolder.js";

/** The cache of pushed pictures that the workers of one machine share. */
export interface CacheSetting {
  readonly folder: string;
  /** 0: nothing is kept. */
  readonly bytesMax: number;
}

/**
 * From BITFLEET_CACHE and BITFLEET_CACHE_BYTES. Undefined: none is asked for, and the store is a folder, which a worker
 * reads as fast as a cache, or the user has no home folder for one. ConfigError names the variable, the value and the bound.
 */
export function cacheSetting(
  variables: Readonly<Record<string, string | undefined>>,
  isRemote: boolean,
): CacheSetting | undefined {
  const bytesMax = numberOrDefault(variables, "BITFLEET_CACHE_BYTES");
  const given = textOf(variables, "BITFLEET_CACHE");
  if (given === undefined && !isRemote) return undefined;
  const folder = given ?? ownFolder(textOf(variables, "XDG_CACHE_HOME"));
  return folder === undefined ? undefined : { folder: resolve(folder), bytesMax };
}

function ownFolder(caches: string | undefined): string | undefined {
  const home = userHome();
  const folder = caches ?? (home === undefined ? undefined : join(home, ".cache"));
  return folder === undefined ? undefined : join(folder, "bitfleet", "data");
}
