import { ConfigError } from "../job/problem.js";

const namedMax = 5;

/** One sentence that names the first few of the pictures that cannot be used, and how many there are. */
export function badPictures(bad: readonly string[], total: number): ConfigError {
  // Sorted, because which of them was read first differs from run to run.
  const named = bad.toSorted().slice(0, namedMax).join("; ");
  if (bad.length === 1) return new ConfigError(named);
  const more = bad.length > namedMax ? `; and ${bad.length - namedMax} more` : "";
  return new ConfigError(`${bad.length} of ${total} pictures cannot be used: ${named}${more}`);
}
