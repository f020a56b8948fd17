/** Files of this user alone, of which every one is the old or the new one at every moment, also after a power cut. */
import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Path -> text. All are on the disk before the first takes its place, and they do so in their order. */
export async function replaceFiles(files: ReadonlyMap<string, string>): Promise<void> {
  const ending = `.${randomBytes(6).toString("hex")}.part`;
  try {
    const writes = [...files].map(([file, text]) => writeNew(`${file}${ending}`, text));
    for (const write of await Promise.allSettled(writes))
      if (write.status === "rejected") throw write.reason;
    for (const file of files.keys()) await rename(`${file}${ending}`, file);
  } catch (error) {
    for (const file of files.keys()) await rm(`${file}${ending}`, { force: true });
    throw error;
  }
}

async function writeNew(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const handle = await open(file, "wx", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
