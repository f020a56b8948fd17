/** Whether a file may be written, said before anything is sent for it. */
import { lstat, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { ConfigError, FailureError, codeOf, reasonOf } from "../job/problem.js";

/** ConfigError: it is no name of an npz file, a folder, or there already. FailureError: its folder is not there. */
export async function checkTarget(file: string, force: boolean): Promise<void> {
  if (file === "-")
    throw new ConfigError("--out is -, but weights go to a file only: name one that ends in .npz");
  const found = await stat(file).catch(() => undefined);
  if (found?.isDirectory() === true || /[/\\]$/.test(file))
    throw new ConfigError(`--out is ${file}, which is a folder: name a file in it, NAME.npz`);
  if (!/\.npz$/i.test(file))
    throw new ConfigError(`--out is ${file}, but must end in .npz, which is what is written`);
  await refuseExisting(file, force);
  const folder = dirname(file);
  const parent = await stat(folder).catch((error: unknown) => {
    throw new FailureError(`cannot write ${file}: ${folderProblem(folder, error)}`);
  });
  if (!parent.isDirectory()) throw new FailureError(`cannot write ${file}: ${folder} is no folder`);
}

/** Also for the moment before the file is put in place. */
export async function refuseExisting(file: string, force: boolean): Promise<void> {
  if (force) return;
  const there = await lstat(file).catch(() => undefined);
  if (there !== undefined)
    throw new ConfigError(`${file} is there already; --force replaces it, or name another`);
}

function folderProblem(folder: string, error: unknown): string {
  const isMissing = codeOf(error) === "ENOENT";
  return isMissing ? `there is no folder ${folder}` : reasonOf(error);
}
