import { readdir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { ConfigError } from "../job/problem.js";
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
  /** Files left out because their extension is no picture's. */
  readonly ignoredFiles: number;
}

/** Whose machine the folder is sought on. */
export type Seeker = "worker" | "client";

/**
 * Lists a folder with one folder per class. Pictures may lie at any depth inside their class's
 * folder; what starts with a dot is skipped. Reads names only, no picture.
 * Throws ConfigError with one sentence that names the path.
 */
export async function listFolder(root: string, seeker: Seeker): Promise<Listing> {
  const home = await rootOf(root, seeker);
  const classes = await classFolders(root);
  const scan: Scan = { root, home, files: [], ignoredFiles: 0 };
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
  return { root, classes, files, ignoredFiles: scan.ignoredFiles };
}

interface Scan {
  readonly root: string;
  readonly home: string;
  /** Of the class that is being scanned. */
  readonly files: string[];
  ignoredFiles: number;
}

async function rootOf(root: string, seeker: Seeker): Promise<string> {
  try {
    const home = await realpath(root);
    if (!(await stat(home)).isDirectory()) throw new ConfigError(`${root} is not a folder`);
    return home;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const why = `${root} ${failureOf(error)}`;
    throw new ConfigError(seeker === "client" ? why : `${why} on the workers: ${elsewhere(root)}`, {
      cause: error,
    });
  }
}

function elsewhere(root: string): string {
  return (
    "the path of a data set is a path on the workers; send pictures of another machine with " +
    `"bitfleet data push ${root} NAME" and name them with --data store:NAME`
  );
}

async function classFolders(root: string): Promise<readonly string[]> {
  const names: string[] = [];
  let pictures = 0;
  for (const entry of await list(root)) {
    if (entry.name.startsWith(".")) continue;
    const target = entry.isSymbolicLink() ? await follow(join(root, entry.name)) : entry;
    if (target.isDirectory()) names.push(entry.name);
    else if (isPictureName(entry.name)) pictures += 1;
  }
  if (names.length > 0) return names.toSorted();
  throw new ConfigError(
    pictures > 0
      ? `${root} has ${pictures} pictures but no class folders: put those of each class into a folder of its own`
      : `${root} has no class folders and no images`,
  );
}

/** `above` are the real folders that we are inside of, so that a link cannot lead in circles. */
async function scanClass(scan: Scan, folder: string, above: readonly string[]): Promise<void> {
  const path = join(scan.root, folder);
  const home = await realpath(path);
  if (!inside(scan.home, home)) throw escapes(path, scan.root);
  if (above.includes(home)) throw new ConfigError(`${path} is a link to a folder that it is in`);
  if (above.length > depthMax) {
    throw new ConfigError(`${path} lies more than ${depthMax} folders deep`);
  }
  for (const entry of await list(path)) {
    if (entry.name.startsWith(".")) continue;
    const file = `${folder}/${entry.name}`;
    const linked = entry.isSymbolicLink();
    const target = linked ? await follow(join(scan.root, file)) : entry;
    if (target.isDirectory()) {
      await scanClass(scan, file, [...above, home]);
    } else if (!target.isFile() || !isPictureName(entry.name)) {
      scan.ignoredFiles += 1;
    } else {
      if (linked && !inside(scan.home, await realpath(join(scan.root, file)))) {
        throw escapes(join(scan.root, file), scan.root);
      }
      scan.files.push(file);
      if (scan.files.length > filesMax) {
        throw new ConfigError(`${scan.root} has more than ${filesMax} pictures`);
      }
    }
  }
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
    throw new ConfigError(`the link ${path} leads nowhere`, { cause: error });
  }
}

function inside(home: string, path: string): boolean {
  return path === home || path.startsWith(home.endsWith(sep) ? home : home + sep);
}

function escapes(path: string, root: string): ConfigError {
  return new ConfigError(`${path} is a link that leads out of ${root}`);
}

function failureOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR") return "does not exist";
  if (code === "EACCES" || code === "EPERM") return "may not be read";
  return `cannot be read (${String(code ?? error)})`;
}
