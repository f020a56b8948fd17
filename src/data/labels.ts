import { ConfigError } from "../job/problem.js";
import { classOf } from "./dataPages.js";
import type { Listing } from "./folder.js";
import { areAllSplits, areSplits, splitsError } from "./folderNames.js";

export interface LabelledFile {
  /** Below the root, parts separated by `/`. */
  readonly file: string;
  /** Position of its class in the class names. */
  readonly label: number;
}

export interface LabelledFiles {
  readonly classes: readonly string[];
  /** Sorted by label, then by name. */
  readonly files: readonly LabelledFile[];
}

/**
 * Numbers the classes. With `known` (validation) labels are positions in `known`, classes may be missing, and a class that
 * is not in `known` is refused; without it there have to be two at least.
 */
export function labelled(
  { root, classes: found, files }: Listing,
  known?: readonly string[],
): LabelledFiles {
  if (areSplits(found) || (known === undefined && areAllSplits(found)))
    throw splitsError(root, found);
  if (known === undefined && found.length === 1) {
    throw new ConfigError(
      `${root} has one class only, "${found[0] ?? ""}": training needs at least two class folders`,
    );
  }
  const classes = known ?? found;
  const labels = new Map(classes.map((name, label) => [name, label]));
  const labelOf = (file: string): number => {
    const label = labels.get(classOf(file));
    if (label !== undefined) return label;
    throw new ConfigError(
      `${root} has the class "${classOf(file)}", which the training data lacks`,
    );
  };
  return { classes, files: files.map((file) => ({ file, label: labelOf(file) })) };
}
