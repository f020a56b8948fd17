/** `bitfleet logs JOB`: a job's log, also long after its workers have gone. */
import { InvalidArgumentError, type Command } from "commander";
import type { LogLine } from "../wire/training.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import type { Context } from "./context.js";
import type { Color, Terminal } from "./terminal.js";
import { clock, json, plain, short } from "./text.js";

interface LogFlags extends ConnectionFlags {
  readonly follow?: boolean;
  readonly after: number;
  readonly json?: boolean;
}

export function addLogs(program: Command, context: Context): void {
  const command = program
    .command("logs")
    .description("print the log of a job")
    .argument("<job>", "name of the job")
    .option("-f, --follow", "go on until the job has ended; Ctrl-C stops reading")
    .option("--after <SEQUENCE>", "only lines after this one", sequence, 0)
    .option("--json", "print a JSON object per line");
  withConnection(command).action((job: string, flags: LogFlags) =>
    withClient(flags, context.variables, async (client) => {
      const { terminal, signal } = context;
      const { after, follow = false } = flags;
      for await (const line of client.logs(job, { afterSequence: after, follow, signal })) {
        terminal.out(flags.json === true ? json(line) : logText(line, terminal));
      }
    }),
  );
}

const colors: Readonly<Record<LogLine["level"], Color | undefined>> = {
  debug: "dim",
  info: undefined,
  warn: "yellow",
  error: "red",
};

/** `2026-11-25 04:23:17 +01:00 step 12 done  loss=1.25 workers=2`, with the level in front where it is a warning or worse. */
export function logText(line: LogLine, { paint }: Pick<Terminal, "paint">): string {
  const { level, message, fields, timeMs } = line;
  const urgent = level === "warn" || level === "error" ? `${level}: ` : "";
  const values = Object.entries(fields).map(([name, value]) => `${name}=${fieldText(value)}`);
  const color = colors[level];
  const text = `${urgent}${plain(message)}`;
  const tail = values.length === 0 ? "" : `  ${paint("dim", values.join(" "))}`;
  return `${paint("dim", clock(timeMs))} ${color === undefined ? text : paint(color, text)}${tail}`;
}

function fieldText(value: string | number | boolean): string {
  if (typeof value === "number") return short(value);
  const text = plain(String(value));
  return text.includes(" ") ? JSON.stringify(text) : text;
}

function sequence(value: string): number {
  const number = Number(value);
  if (/^\d{1,10}$/.test(value) && number <= 0x7fffffff) return number;
  throw new InvalidArgumentError("It must be a whole number from 0 to 2147483647.");
}
