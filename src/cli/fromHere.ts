/** Paths of a command line. */
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ConfigError } from "../job/problem.js";
import { shell } from "../job/shell.js";

/** The path, absolute: a relative one is meant from here. ConfigError: as `checkTilde`. */
export function fromHere(path: string, what: string): string {
  checkTilde(path, what);
  return resolve(path);
}

/** ConfigError: it begins with a ~ that the shell has left as it is. `what`: the flag, or the argument in words. */
export function checkTilde(path: string, what: string): void {
  const [, user, rest = ""] = /^~([^/]*)(?:\/(.*))?$/.exec(path) ?? [];
  if (user === undefined) return;
  const meant = user === "" ? shell`${join(homedir(), rest)}` : "the path in full";
  throw new ConfigError(
    `${what} is "${path}", and a ~ in quotes means no home folder: write ${meant}, or ./~ for a folder of that name`,
  );
}
