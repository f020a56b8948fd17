import { readdir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { ConfigError } from "../job/problem.js";

/** Beyond these a folder is taken for a mistake, or for an attack on the worker's memory. */
const filesMax = 20_000_000;
const depthMax = 16;

const pictureName = /\.(jpe?g|png|webp|gif)$/i;

export interface FolderFile {
  /** Below the root, parts separated by `/`. */
  readonly file: string;
  /** Position of its class in the sorted class names. */
  readonly label: number;
}

export interface ImageFolder {
  /** As the user wrote it. */
  readonly root: string;
  /** Names of the class folders, sorted by code unit. */
  readonly classes: readonly string[];
  /** Sorted by label, then by name. */
  readonly files: readonly FolderFile[];
  /** Files left out because their extension is no picture's. */
  readonly ignoredFiles: number;
}

/**
 * Lists a folder with one folder per class. Pictures may lie at any depth inside their class's
 * folder; what starts with a dot is skipped. Reads names only, no picture.
 *
 * With `known` (validation) labels are positions in `known`, classes may be missing, and a class that
 * is not in `known` is refused. Throws ConfigError with one sentence that names the path.
 */
export async function scanFolder(root: string, known?: readonly string[]): Promise<ImageFolder> {
  const home = await rootOf(root);
  const found = await classFolders(root);
  if (known === undefined && found.length === 1) {
    throw new ConfigError(
      `${root} has one class only, "${found[0] ?? ""}": training needs at least two class folders`,
    );
  }
  const classes = known ?? found;
  const labels = new Map(classes.map((name, label) => [name, label]));
  const scan: Scan = { root, home, files: [], ignoredFiles: 0 };
  for (const name of found) {
    const label = labels.get(name);
    if (label === undefined) {
      throw new ConfigError(`${root} has the class "${name}", which the training data lacks`);
    }
    const before = scan.files.length;
    await scanClass(scan, name, label, [home]);
    if (scan.files.length === before) {
      throw new ConfigError(
        `the class folder ${join(root, name)} has no JPEG, PNG, WebP or GIF in it`,
      );
    }
  }
  const files = scan.files.toSorted((a, b) => a.label - b.label || (a.file < b.file ? -1 : 1));
  return { root, classes, files, ignoredFiles: scan.ignoredFiles };
}

interface Scan {
  readonly root: string;
  readonly home: string;
  readonly files: FolderFile[];
  ignoredFiles: number;
}

async function rootOf(root: string): Promise<string> {
  try {
    const home = await realpath(root);
    if (!(await stat(home)).isDirectory()) throw new ConfigError(`${root} is not a folder`);
    return home;
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(
      `${root} ${failureOf(error)} on the workers: the path of a data set is a path on the workers`,
      { cause: error },
    );
  }
}

async function classFolders(root: string): Promise<readonly string[]> {
  const names: string[] = [];
  let pictures = 0;
  for (const entry of await list(root)) {
    if (entry.name.startsWith(".")) continue;
    const target = entry.isSymbolicLink() ? await follow(join(root, entry.name)) : entry;
    if (target.isDirectory()) names.push(entry.name);
    else if (pictureName.test(entry.name)) pictures += 1;
  }
  if (names.length > 0) return names.toSorted();
  throw new ConfigError(
    pictures > 0
      ? `${root} has ${pictures} pictures but no class folders: put those of each class into a folder of its own`
      : `${root} has no class folders and no images`,
  );
}

/** `above` are the real folders that we are inside of, so that a link cannot lead in circles. */
async function scanClass(
  scan: Scan,
  folder: string,
  label: number,
  above: readonly string[],
): Promise<void> {
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
      await scanClass(scan, file, label, [...above, home]);
    } else if (!target.isFile() || !pictureName.test(entry.name)) {
      scan.ignoredFiles += 1;
    } else {
      if (linked && !inside(scan.home, await realpath(join(scan.root, file)))) {
        throw escapes(join(scan.root, file), scan.root);
      }
      scan.files.push({ file, label });
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
