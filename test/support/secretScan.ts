/** Looks for secrets where others may read: command lines, environments, logs and files. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Name -> text that must be nowhere. */
export type Secrets = ReadonlyMap<string, string>;

/** What was read, by where it was: `/proc/17/cmdline`, a file, a log. */
export type Places = ReadonlyMap<string, string>;

/** `SECRET in PLACE` for every one that is found. */
export function leaks(secrets: Secrets, places: Places): readonly string[] {
  return [...places].flatMap(([place, text]) =>
    [...secrets]
      .filter(([, secret]) => text.includes(secret))
      .map(([name]) => `${name} in ${place}`),
  );
}

/** Command line and environment of these processes and of all that they have started. */
export async function processPlaces(pids: readonly number[]): Promise<Places> {
  const places = new Map<string, string>();
  const waiting = [...pids];
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    for (const file of ["cmdline", "environ"]) {
      const path = `/proc/${pid}/${file}`;
      const text = await readFile(path, "latin1").catch(() => "");
      places.set(path, text.replaceAll("\0", " "));
    }
    const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
    for (const thread of threads) {
      const list = await readFile(`/proc/${pid}/task/${thread}/children`, "utf8").catch(() => "");
      waiting.push(
        ...list
          .split(" ")
          .filter((id) => /^\d+$/.test(id))
          .map(Number),
      );
    }
  }
  return places;
}

/** Every file under the folder that is not one to hold secrets. */
export async function filePlaces(folder: string, holdsSecrets: RegExp): Promise<Places> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = found
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .filter((path) => !holdsSecrets.test(path));
  const texts = paths.map(
    async (path) => [path, await readFile(path, "latin1").catch(() => "")] as const,
  );
  return new Map(await Promise.all(texts));
}

/** The lines of a key in PEM that hold it. */
export function keyLines(name: string, pem: string): Secrets {
  const lines = pem.split("\n").filter((line) => /^[A-Za-z0-9+/=]{20,}$/.test(line));
  return new Map(lines.map((line, i) => [`${name}, line ${i + 1}`, line]));
}
