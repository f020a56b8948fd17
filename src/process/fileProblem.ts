import { codeOf, reasonOf } from "../job/problem.js";

/** What a file system says that an administrator can mend. */
const problems: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "it is not permitted",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the quota is used up",
  ENOTDIR: "a part of the path is no folder",
  EEXIST: "a file of that name is in the way",
  EISDIR: "it is a folder",
  EIO: "the disk does not work",
  ENAMETOOLONG: "the path is too long",
  ELOOP: "its links lead in a circle",
};

/** Why a file or folder cannot be used, with the path that it is about. */
export function fileProblem(error: unknown): string {
  const { problem, path } = described(error);
  if (problem === undefined) return reasonOf(error);
  return path === undefined ? problem : `${problem} (${path})`;
}

/** A sentence where the error is one of the machine's files and none of ours; undefined for any other. */
export function fileSentence(error: unknown): string | undefined {
  const { problem, path } = described(error);
  return problem === undefined || path === undefined ? undefined : `cannot use ${path}: ${problem}`;
}

function described(error: unknown): {
  readonly problem: string | undefined;
  readonly path: string | undefined;
} {
  if (!(error instanceof Error)) return { problem: undefined, path: undefined };
  const code = codeOf(error) ?? "";
  const path = "path" in error && typeof error.path === "string" ? error.path : undefined;
  return { problem: Object.hasOwn(problems, code) ? problems[code] : undefined, path };
}
