/** Where a process keeps its state, and what is wrong with that place. */
import { access, constants, mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";

import { ConfigError, FailureError } from "../job/problem.js";
import { fileProblem } from "./fileProblem.js";

/** BITFLEET_HOME, else .bitfleet in the user's home folder; undefined: the user has none. */
export function stateFolder(given: string | undefined): string | undefined {
  if (given !== undefined && given !== "") return resolve(given);
  const home = userHome();
  return home === undefined ? undefined : resolve(join(home, ".bitfleet"));
}

/** ConfigError where there is none. */
export function neededStateFolder(given: string | undefined): string {
  const folder = stateFolder(given);
  if (folder !== undefined) return folder;
  throw new ConfigError(
    "this user has no home folder (HOME is not set, and the system knows none): BITFLEET_HOME or --home must name the state folder",
  );
}

/** Undefined: HOME is not set, and the system does not know the user, as in a container that runs under any id. */
export function userHome(): string | undefined {
  try {
    const home = homedir();
    return home === "" ? undefined : home;
  } catch {
    return undefined;
  }
}

/** FailureError: it cannot be made, or not be written by us. */
export async function makeStateFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await access(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new FailureError(
      `the state folder ${folder} cannot be used: ${fileProblem(error)}; BITFLEET_HOME or --home names another`,
    );
  }
}
