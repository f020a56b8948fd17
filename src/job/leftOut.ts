/** Files of a data set that nobody trains on, counted by what they are, so that it can be told. */
export interface LeftOut {
  /** An extension such as `.tif`, or words. */
  readonly kind: string;
  readonly files: number;
}

/** More kinds are told together. */
export const leftOutKindsMax = 12;
const kindLengthMax = 40;
const others = "others";

export class LeftOutCounts {
  readonly #counts = new Map<string, number>();

  add(kind: string, files = 1): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + files);
  }

  addAll(leftOut: readonly LeftOut[]): void {
    for (const { kind, files } of leftOut) this.add(kind, files);
  }

  /** The most frequent first, the same for the same files. */
  list(): readonly LeftOut[] {
    const sorted = [...this.#counts]
      .map(([kind, files]) => ({ kind, files }))
      .toSorted((a, b) => b.files - a.files || (a.kind < b.kind ? -1 : 1));
    if (sorted.length <= leftOutKindsMax) return sorted;
    const shown = sorted.slice(0, leftOutKindsMax - 1);
    return [...shown, { kind: others, files: total(sorted.slice(leftOutKindsMax - 1)) }];
  }
}

/** What an extension that is no picture's is counted as. */
export function kindOf(fileName: string): string {
  const extension = /[^.](\.[a-z0-9]{1,12})$/i.exec(fileName)?.[1];
  return extension === undefined ? "without an extension" : extension.toLowerCase();
}

export function total(leftOut: readonly LeftOut[]): number {
  return leftOut.reduce((sum, { files }) => sum + files, 0);
}

/** `14 files: 6 .jfif, 4 .bmp, 4 .tif`; undefined: none. */
export function leftOutText(leftOut: readonly LeftOut[]): string | undefined {
  if (leftOut.length === 0) return undefined;
  const count = total(leftOut);
  const kinds = leftOut.map(({ kind, files }) => `${files} ${kind}`).join(", ");
  return `${count} ${count === 1 ? "file" : "files"}: ${kinds}`;
}

/** Whether it is a list that `list` may have made: it crosses processes, and is shown to people. */
export function isLeftOut(value: unknown): value is readonly LeftOut[] {
  return (
    Array.isArray(value) &&
    value.length <= leftOutKindsMax &&
    value.every((entry: unknown) => {
      if (typeof entry !== "object" || entry === null) return false;
      const fields = new Map<string, unknown>(Object.entries(entry));
      const [kind, files] = [fields.get("kind"), fields.get("files")];
      return (
        typeof kind === "string" &&
        kind.length <= kindLengthMax &&
        /^[ -~]+$/.test(kind) &&
        typeof files === "number" &&
        Number.isSafeInteger(files) &&
        files > 0
      );
    })
  );
}
