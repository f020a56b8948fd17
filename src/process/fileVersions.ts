import { statSync } from "node:fs";

/** Another text where the content of a file may be another: also where it was replaced, as in a mounted secret. */
export function fileVersions(files: readonly (string | undefined)[]): string {
  return files.map((file) => (file === undefined ? "-" : version(file))).join(" ");
}

function version(file: string): string {
  try {
    const { ino, size, mtimeMs } = statSync(file);
    return `${ino}:${size}:${mtimeMs}`;
  } catch {
    return "none";
  }
}
