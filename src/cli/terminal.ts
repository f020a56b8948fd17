/** Where the command writes. Tests give their own. */
import { cut } from "../job/cutText.js";
import { plain } from "./text.js";

export interface Terminal {
  /** A line of the answer. */
  out(line: string): void;
  /** A line about the answer: progress, warnings, refusals. */
  note(line: string): void;
  /** Shows a line in place of the last one shown so; where there is no terminal, nothing. */
  live(line: string): void;
  /** Takes the live line away. */
  clearLive(): void;
  /** From here on the process goes on where nobody reads its answer any more, as it does work beside answering. */
  outliveReader(): void;
  /** How wide answers may be; undefined where they go to no terminal. */
  readonly columns: number | undefined;
  /** Whether notes go to a terminal, where one line may be written over. */
  readonly interactive: boolean;
  /** Wraps a text in a colour where that is wanted. */
  paint(color: Color, text: string): string;
}

export type Color = "green" | "red" | "yellow" | "dim";

const codes: Readonly<Record<Color, number>> = { green: 32, red: 31, yellow: 33, dim: 2 };
const eraseLine = "\r\x1b[2K";

/** The process's own. */
export function processTerminal(
  variables: Readonly<Record<string, string | undefined>>,
  stdout: NodeJS.WriteStream,
  stderr: NodeJS.WriteStream,
): Terminal {
  const dumb = variables["TERM"] === "dumb";
  const interactive = stderr.isTTY && !dumb && variables["CI"] === undefined;
  let outlives = false;
  // Whoever read us is gone (`bitfleet logs | head`): nothing is left to be done by a command that only answers.
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE" && !outlives) process.exit(0);
  });
  let live = false;
  const clearLive = (): void => {
    if (live) stderr.write(eraseLine);
    live = false;
  };
  return {
    interactive,
    columns: stdout.isTTY ? stdout.columns : undefined,
    outliveReader: () => {
      outlives = true;
    },
    out: (line) => {
      clearLive();
      stdout.write(`${line}\n`);
    },
    note: (line) => {
      clearLive();
      stderr.write(`${line}\n`);
    },
    live: (line) => {
      if (!interactive) return;
      stderr.write(`${eraseLine}${cut(plain(line), Math.max(20, stderr.columns - 1))}`);
      live = true;
    },
    clearLive,
    paint: painter(variables, stdout.isTTY),
  };
}

/** Paints where there is a terminal, and NO_COLOR (no-color.org) and TERM=dumb allow it. */
export function painter(
  variables: Readonly<Record<string, string | undefined>>,
  isTerminal: boolean,
): Terminal["paint"] {
  const colored =
    isTerminal && variables["TERM"] !== "dumb" && (variables["NO_COLOR"] ?? "") === "";
  return (color, text) => (colored ? `\x1b[${codes[color]}m${text}\x1b[0m` : text);
}
