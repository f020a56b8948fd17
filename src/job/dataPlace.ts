import { quote } from "./cutText.js";
import { ConfigError } from "./problem.js";

/** What the settings `data` and `validation` may hold beside a folder: `store:NAME`, a data set that was pushed. */

const prefix = "store:";
const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** The name of the data set at `place`; undefined where it is a folder. */
export function dataSetAt(place: string): string | undefined {
  return place.startsWith(prefix) ? place.slice(prefix.length) : undefined;
}

export function placeOf(dataSet: string): string {
  return `${prefix}${dataSet}`;
}

export function isDataName(name: string): boolean {
  return dnsLabel.test(name);
}

/** Throws a ConfigError for what cannot be the name of a data set. */
export function checkDataName(name: string): string {
  if (isDataName(name)) return name;
  throw new ConfigError(
    `name is ${quote(name, 100)}, not a DNS label: up to 63 of a-z, 0-9 and -, without - at the ends`,
  );
}
