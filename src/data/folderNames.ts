import { readdir } from "node:fs/promises";
import { ConfigError } from "../job/problem.js";

/** Names that lie beside pictures and are no pictures, no classes, or cannot be said. */

const systemNames = new Set([
  "lost+found", // The root of a volume.
  "@eadir", // Synology, whose thumbnails in it are pictures by their names.
  "#recycle",
  "#snapshot",
  "@recycle", // QNAP.
  "@recently-snapshot",
  "__macosx", // Archives made by macOS.
  "$recycle.bin", // Windows.
  "system volume information",
  "thumbs.db",
  "ehthumbs.db",
  "desktop.ini",
  "__pycache__",
]);

/** What systems, archives and network disks leave in folders, beside names with a dot in front. It is not looked into. */
export function isSystemName(name: string): boolean {
  return systemNames.has(name.toLowerCase());
}

const trainingSplit = /^(train|training)$/i;
const otherSplit = /^(val|valid|validation|dev|eval|test|testing)$/i;

/** Whether classes of these names are the splits of a data set, one level too high. */
export function areSplits(names: readonly string[]): boolean {
  return (
    names.some((name) => trainingSplit.test(name)) && names.some((name) => otherSplit.test(name))
  );
}

/** Whether none is the name of anything but a split. */
export function areAllSplits(names: readonly string[]): boolean {
  return (
    names.length > 0 && names.every((name) => trainingSplit.test(name) || otherSplit.test(name))
  );
}

/** One sentence on what to do; `root` is a folder or `store:NAME`. */
export function splitsError(root: string, names: readonly string[]): ConfigError {
  const training = names.find((name) => trainingSplit.test(name));
  const others = names.filter((name) => otherSplit.test(name));
  // Of several, a test set is what one keeps for the end.
  const validation = others.find((name) => !/^test/i.test(name)) ?? others[0];
  const found = names.filter((name) => name === training || others.includes(name)).join(", ");
  const why = `${root} has the folders ${found}: those are splits, and not classes`;
  if (root.startsWith("store:"))
    return new ConfigError(`${why}; push the folder of each split for itself`);
  const uses = [
    ...(training === undefined ? [] : [`--data ${root}/${training}`]),
    ...(validation === undefined ? [] : [`--validation ${root}/${validation}`]),
  ];
  return new ConfigError(`${why}; use ${uses.join(" ")}, or push each for itself`);
}

/** What Node puts in place of bytes that are no UTF-8. */
const replacement = "\ufffd";

export function mayBeMisread(name: string): boolean {
  return name.includes(replacement);
}

/** Throws where a name, as it was read, is not the one on the disk, so that it cannot be opened. */
export async function checkReadable(folder: string, name: string): Promise<void> {
  if (!mayBeMisread(name)) return;
  for (const bytes of await readdir(folder, { encoding: "buffer" })) {
    if (bytes.toString() !== name || Buffer.from(name).equals(bytes)) continue;
    const shown = bytes.toString("latin1").replace(/[^ -~]/g, (character) => {
      return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
    });
    throw new ConfigError(
      `the folder ${folder} has the name "${shown}", which is not UTF-8: rename it, as "convmv -f latin1 -t utf8 -r --notest" does`,
    );
  }
}
