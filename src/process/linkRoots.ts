import { isAbsolute } from "node:path";
import { ConfigError } from "../job/problem.js";

const rootsMax = 64;

/**
 * BITFLEET_LINK_ROOTS: folders, separated by colons, into which links in a job's data may lead on this worker, besides into the
 * data itself. ConfigError names the variable and the folder.
 */
export function linkRootsOf(
  variables: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const roots = (variables["BITFLEET_LINK_ROOTS"] ?? "").split(":").filter((root) => root !== "");
  if (roots.length > rootsMax)
    throw new ConfigError(`BITFLEET_LINK_ROOTS names ${roots.length} folders, at most ${rootsMax}`);
  const relative = roots.find((root) => !isAbsolute(root));
  if (relative === undefined) return roots;
  throw new ConfigError(
    `BITFLEET_LINK_ROOTS names "${relative}", but must name folders by paths from /, separated by colons`,
  );
}
