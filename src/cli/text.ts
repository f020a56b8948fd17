/** Values as people read them. Text from elsewhere loses its control characters: it could move the cursor or rename the window. */

import { cut } from "../job/cutText.js";

/** One line: every run of control characters, line breaks among them, is a blank. */
export function plain(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, " ");
}

/** JSON that stays what it is where it is printed: what JSON leaves as it is and a terminal obeys is spelt out, as \uXXXX. */
export function json(value: unknown, indent?: number): string {
  return JSON.stringify(value, withoutNoise, indent).replace(
    /[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** 0.0003 instead of 0.00030000000000000003: the 15 digits that a number of JavaScript has, not the noise of binary fractions. */
function withoutNoise(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isInteger(value)
    ? Number(value.toPrecision(15))
    : value;
}

export interface TableWidth {
  /** How wide a line may be; undefined: as wide as it comes. */
  readonly columns?: number | undefined;
  /** The last column is of sentences: it may be cut, and stays where others have to go. */
  readonly endsInSentences?: boolean;
}

/** So much of a sentence is worth a column. */
const sentenceMin = 12;
/** Name and state stay in any case. */
const kept = 2;

/**
 * Columns as wide as their widest cell, two blanks apart; the last is not filled up. Cells are made plain. Where a line would be too
 * wide, columns are left out from the right.
 */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  { columns = Infinity, endsInSentences = false }: TableWidth = {},
): readonly string[] {
  const lines = [header, ...rows].map((row) => row.map(plain));
  const widths = header.map((_, column) =>
    Math.max(...lines.map((row) => (row[column] ?? "").length)),
  );
  const last = header.length - 1;
  const sentence = endsInSentences && rows.some((row) => (row[last] ?? "") !== "") ? last : -1;
  const least = widths.map((width, i) => (i === sentence ? Math.min(width, sentenceMin) : width));
  const shown = header.map((_, i) => i);
  const total = (): number => shown.reduce((sum, i) => sum + (least[i] ?? 0) + 2, -2);
  while (total() > columns) {
    const dropped = shown.findLast((i) => i >= kept && i !== sentence) ?? shown.at(-1) ?? 0;
    if (dropped < kept) break;
    shown.splice(shown.indexOf(dropped), 1);
  }
  const room = columns - total() + (least[sentence] ?? 0);
  return lines.map((row) =>
    shown
      .map((i) => [i, row[i] ?? ""] as const)
      .map(([i, cell]) => (i === sentence ? cut(cell, room) : cell.padEnd(widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

/** Name and value below each other, values aligned. */
export function pairs(entries: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${plain(value)}`.trimEnd());
}

/** `1 h 02 min`, `3 min 05 s`, `12 s`, `0.4 s`. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${two(minutes)} min`;
  return minutes > 0 ? `${minutes} min ${two(whole % 60)} s` : `${whole} s`;
}

/** `94.2 MB`, in powers of ten. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"] as const;
  let value = count;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** Up to four significant digits, as short as may be: `0.003`, `1.25`, `432`, `3e-7`. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && Math.abs(value) < 1e-4) return Number(value.toPrecision(3)).toExponential();
  return String(Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4)));
}

/** `93/100 (93.0 %)`. */
export function share(correct: number, total: number): string {
  return total === 0 ? "0/0" : `${correct}/${total} (${((100 * correct) / total).toFixed(1)} %)`;
}

/** `2026-11-25 04:23:17 +01:00` in local time, with its distance from UTC; `-` for 0. */
export function clock(ms: number): string {
  if (ms === 0) return "-";
  const date = new Date(ms);
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  const offset = -date.getTimezoneOffset();
  const zone = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map(two).join(":");
  return `${day} ${time} ${offset < 0 ? "-" : "+"}${zone}`;
}

function two(number: number): string {
  return String(number).padStart(2, "0");
}
