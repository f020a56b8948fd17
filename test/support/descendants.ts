import { readFile } from "node:fs/promises";

/** All processes below this one. */
export async function descendants(pid: number): Promise<readonly number[]> {
  const ids = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  const children = ids
    .split(" ")
    .filter((id) => id.trim() !== "")
    .map(Number);
  return [...children, ...(await Promise.all(children.map(descendants))).flat()];
}
