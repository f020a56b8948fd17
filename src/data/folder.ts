import { readdir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { kindOf, LeftOutCounts, type LeftOut } from "../job/leftOut.js";
import { plural } from "../job/plural.js";
import { ConfigError, codeOf } from "../job/problem.js";
import { shell } from "../job/shell.js";
import {
  areSplits,
  checkReadable,
  isSystemName,
  mayBeMisread,
  splitsError,
} from "./folderNames.js";
import { isPictureName } from "./pictureBounds.js";

/** Beyond these a folder is taken for a mistake, or for an attack on the worker's memory. */
const filesMax = 20_000_000;
const depthMax = 16;

/** The names that a data set is made of, before any rule about its classes. */
export interface Listing {
  /** As the user wrote it. */
  readonly root: string;
  /** Names of the class folders, sorted by code unit. */
  readonly classes: readonly string[];
  /** Pictures below the root, parts separated by `/`, of which the first is the class; sorted by class, then by name. */
  readonly files: readonly string[];
  /** Files that are no pictures by their names, or in no class folder, and what systems leave behind. */
  readonly leftOut: readonly LeftOut[];
}

/** Whose machine the folder is sought on. */
export type Seeker = "worker" | "client";

/**
 * Lists a folder with one folder per class. Pictures may lie at any depth inside their class's
 * folder; what starts with a dot is skipped. Reads names only, no picture. A client's links are its user's
 * own, and are followed wherever they lead; a worker, which reads what somebody else made, follows those
 * that stay inside the folder or inside one of `linkRoots`.
 * Throws ConfigError with one sentence that names the path.
 */
export async function listFolder(
  root: string,
  seeker: Seeker,
  linkRoots: readonly string[] = [],
): Promise<Listing> {
  const home = await rootOf(root, seeker);
  const homes = seeker === "client" ? undefined : [home, ...(await realRoots(linkRoots))];
  const leftOut = new LeftOutCounts();
  const classes = await classFolders(root, leftOut);
  if (areSplits(classes)) throw splitsError(root, classes);
  const scan: Scan = { root, homes, files: [], leftOut };
  const files: string[] = [];
  for (const name of classes) {
    await scanClass(scan, name, [home]);
    if (scan.files.length === 0) {
      throw new ConfigError(
        `the class folder ${join(root, name)} has no JPEG, PNG, WebP or GIF in it`,
      );
    }
    for (const file of scan.files.splice(0).toSorted()) files.push(file);
    if (files.length > filesMax) {
      throw new ConfigError(`${scan.root} has more than ${filesMax} pictures`);
    }
  }
  return { root, classes, files, leftOut: leftOut.list() };
}

interface Scan {
  readonly root: string;
  /** Where links may lead; undefined: anywhere. */
  readonly homes: readonly string[] | undefined;
  /** Of the class that is being scanned. */
  readonly files: string[];
  readonly leftOut: LeftOutCounts;
}

/** One that is not on this machine allows nothing. */
async function realRoots(roots: readonly string[]): Promise<readonly string[]> {
  const real = await Promise.all(roots.map((root) => realpath(root).catch(() => undefined)));
  return real.filter((path) => path !== undefined);
}

async function rootOf(root: string, seeker: Seeker): Promise<string> {
  try {
    const home = await realpath(root);
    if (!(await stat(home)).isDirectory()) throw new ConfigError(`${root} is not a folder`);
    return home;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const misread = mayBeMisread(root) ? ", or its name is not UTF-8" : "";
    const why = `${root} ${failureOf(error)}${misread}`;
    throw new ConfigError(seeker === "client" ? why : `${why} on the workers: ${elsewhere(root)}`, {
      cause: error,
    });
  }
}

function elsewhere(root: string): string {
  return (
    "the path of a data set is a path on the workers; send pictures of another machine with " +
    `"${shell`bitfleet data push ${root} NAME`}" and name them with --data store:NAME`
  );
}

async function classFolders(root: string, leftOut: LeftOutCounts): Promise<readonly string[]> {
  const names: string[] = [];
  let pictures = 0;
  for (const { name, ...entry } of await entriesOf(root)) {
    if (isSystemName(name)) leftOut.add(systemKind);
    else if (entry.isFolder) names.push(name);
    else if (isPictureName(name)) pictures += 1;
    else leftOut.add(kindOf(name));
  }
  if (pictures > 0 && names.length > 0) leftOut.add("pictures in no class folder", pictures);
  if (names.length > 0) return names.toSorted();
  throw new ConfigError(
    pictures > 0
      ? `${root} has ${plural(pictures, "picture")} but no class folders: put those of each class into a folder of its own`
      : `${root} has no class folders and no images`,
  );
}

const systemKind = "of the system";

/** `above` are the real folders that we are inside of, so that a link cannot lead in circles. */
async function scanClass(scan: Scan, folder: string, above: readonly string[]): Promise<void> {
  const path = join(scan.root, folder);
  const home = await realpath(path);
  if (!isAllowed(scan, home)) throw escapes(path, scan.root);
  if (above.includes(home)) throw new ConfigError(`${path} is a link to a folder that it is in`);
  if (above.length > depthMax) {
    throw new ConfigError(`${path} lies more than ${depthMax} folders deep`);
  }
  for (const entry of await entriesOf(path)) {
    const file = `${folder}/${entry.name}`;
    if (isSystemName(entry.name)) {
      scan.leftOut.add(systemKind);
    } else if (entry.isFolder) {
      await scanClass(scan, file, [...above, home]);
    } else if (!entry.isFile || !isPictureName(entry.name)) {
      scan.leftOut.add(entry.isFile ? kindOf(entry.name) : "no plain files");
    } else {
      if (entry.isLink && !isAllowed(scan, await realpath(join(scan.root, file)))) {
        throw escapes(join(scan.root, file), scan.root);
      }
      scan.files.push(file);
      if (scan.files.length > filesMax) {
        throw new ConfigError(`${scan.root} has more than ${filesMax} pictures`);
      }
    }
  }
}

interface Entry {
  readonly name: string;
  readonly isLink: boolean;
  readonly isFolder: boolean;
  readonly isFile: boolean;
}

/** What lies in a folder and has no dot in front, with links as what they lead to. */
async function entriesOf(folder: string): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (const entry of await list(folder)) {
    const { name } = entry;
    if (name.startsWith(".")) continue;
    const isLink = entry.isSymbolicLink();
    // Others are only counted, whatever they are called.
    const isOfUse = isLink || entry.isDirectory() || isPictureName(name);
    if (isOfUse && mayBeMisread(name)) await checkReadable(folder, name);
    const target = isLink && !isSystemName(name) ? await follow(join(folder, name)) : entry;
    entries.push({ name, isLink, isFolder: target.isDirectory(), isFile: target.isFile() });
  }
  return entries;
}

async function list(path: string): ReturnType<typeof readEntries> {
  try {
    return await readEntries(path);
  } catch (error) {
    throw new ConfigError(`the folder ${path} ${failureOf(error)}`, { cause: error });
  }
}

function readEntries(path: string) {
  return readdir(path, { withFileTypes: true });
}

async function follow(path: string): ReturnType<typeof stat> {
  try {
    return await stat(path);
  } catch (error) {
    const code = codeOf(error);
    const where = code === "ENOENT" || code === "ENOTDIR" ? "leads nowhere" : failureOf(error);
    throw new ConfigError(`the link ${path} ${where}`, { cause: error });
  }
}

function inside(home: string, path: string): boolean {
  return path === home || path.startsWith(home.endsWith(sep) ? home : home + sep);
}

function isAllowed({ homes }: Scan, path: string): boolean {
  return homes?.some((home) => inside(home, path)) ?? true;
}

function escapes(path: string, root: string): ConfigError {
  return new ConfigError(
    `${path} is a link that leads out of ${root}: a worker follows those into folders that its BITFLEET_LINK_ROOTS names, ` +
      "and bitfleet data push follows all",
  );
}

function failureOf(error: unknown): string {
  const code = codeOf(error);
  if (code === "ENOENT" || code === "ENOTDIR") return "does not exist";
  if (code === "ELOOP") return "leads in circles";
  if (code === "EACCES" || code === "EPERM") return "may not be read";
  return `cannot be read (${String(code ?? error)})`;
}
