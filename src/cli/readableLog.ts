/** Lines of a log, for people: those of a job, and on a terminal those of a process of ours. */
import { isatty } from "node:tty";
import type { LogFormat } from "../process/logLevels.js";
import { painter, type Color, type Terminal } from "./terminal.js";
import { clock, plain, short } from "./text.js";

type Paint = Terminal["paint"];
type Variables = Readonly<Record<string, string | undefined>>;

export interface ReadableLine {
  readonly level: string;
  readonly message: string;
  readonly timeMs: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

const colors: Readonly<Record<string, Color | undefined>> = {
  trace: "dim",
  debug: "dim",
  warn: "yellow",
  error: "red",
  fatal: "red",
};
const urgent = ["warn", "error", "fatal"];

/** `2026-11-25 04:23:17 +01:00 step 12 done  loss=1.25 workers=2`, with the level in front where it is a warning or worse. */
export function logText(
  { level, message, fields, timeMs }: ReadableLine,
  { paint }: { readonly paint: Paint },
): string {
  const values = Object.entries(fields).map(
    ([name, value]) => `${plain(name)}=${fieldText(value)}`,
  );
  const color = colors[level];
  const text = `${urgent.includes(level) ? `${level}: ` : ""}${plain(message)}`;
  const tail = values.length === 0 ? "" : `  ${paint("dim", values.join(" "))}`;
  return `${paint("dim", clock(timeMs))} ${color === undefined ? text : paint(color, text)}${tail}`;
}

function fieldText(value: unknown): string {
  if (typeof value === "number") return short(value);
  const text = plain(typeof value === "string" ? value : JSON.stringify(value));
  return typeof value === "string" && text.includes(" ") ? JSON.stringify(text) : text;
}

/** How a process shows its log lines on its standard output; undefined: as they are, JSON. */
export function logFormatter(
  format: LogFormat,
  variables: Variables,
): ((line: string) => string) | undefined {
  const isTerminal = isatty(1);
  if (format === "json" || (format === "auto" && !isTerminal)) return undefined;
  const paint = painter(variables, isTerminal);
  return (line) => `${readable(line, { paint })}\n`;
}

/** A line of JSON as pino writes it. What is the same in all lines of a process, its name and its machine's, is left out. */
export function readable(line: string, shown: { readonly paint: Paint }): string {
  const value: unknown = JSON.parse(line);
  if (typeof value !== "object" || value === null) return line;
  const known = new Map<string, unknown>(Object.entries(value));
  const [level, message, time] = ["level", "msg", "time"].map((name) => known.get(name));
  for (const name of ["level", "msg", "time", "process", "worker"]) known.delete(name);
  return logText(
    {
      level: String(level),
      message: typeof message === "string" ? message : "",
      timeMs: Date.parse(String(time)),
      fields: Object.fromEntries(known),
    },
    shown,
  );
}
