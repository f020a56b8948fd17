import { join, resolve } from "node:path";
import { ConfigError } from "../job/problem.js";
import { userHome } from "./stateFolder.js";

/** The cache of pushed pictures that the workers of one machine share. */
export interface CacheSetting {
  readonly folder: string;
  /** 0: nothing is kept. */
  readonly bytesMax: number;
}

const bytesDefault = 10 * 2 ** 30;
const bytesLimit = 2 ** 50;

/**
 * From BITFLEET_CACHE and BITFLEET_CACHE_BYTES. Undefined: none is asked for, and the store is a folder, which a worker
 * reads as fast as a cache, or the user has no home folder for one. ConfigError names the variable, the value and the bound.
 */
export function cacheSetting(
  variables: Readonly<Record<string, string | undefined>>,
  isRemote: boolean,
): CacheSetting | undefined {
  const bytesMax = bytesOf(variables["BITFLEET_CACHE_BYTES"]);
  const given = filled(variables["BITFLEET_CACHE"]);
  if (given === undefined && !isRemote) return undefined;
  const folder = given ?? ownFolder(filled(variables["XDG_CACHE_HOME"]));
  return folder === undefined ? undefined : { folder: resolve(folder), bytesMax };
}

function ownFolder(caches: string | undefined): string | undefined {
  const home = userHome();
  const folder = caches ?? (home === undefined ? undefined : join(home, ".cache"));
  return folder === undefined ? undefined : join(folder, "bitfleet", "data");
}

function bytesOf(value: string | undefined): number {
  const text = filled(value);
  if (text === undefined) return bytesDefault;
  if (/^\d{1,16}$/.test(text) && Number(text) <= bytesLimit) return Number(text);
  throw new ConfigError(
    `BITFLEET_CACHE_BYTES is "${text}", but must be a whole number of bytes from 0 to ${bytesLimit}`,
  );
}

function filled(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
