import { pino, stdTimeFunctions, type Logger } from "pino";
import type { LoggerLevel } from "./logLevels.js";
import { Output, unblockedStdout } from "./output.js";

export type { Logger } from "pino";

/**
 * One JSON object per line on stdout, as far as somebody reads it (see Output); what was left out is told by a line. `base` is bound
 * to every line; bind `job`, `generation`, `rank` and `step` with `logger.child`. `format` makes another text of a line.
 */
export function createLogger(
  base: Readonly<Record<string, string | number>>,
  level: LoggerLevel = "info",
  format?: (line: string) => string,
): Logger {
  const options = {
    base,
    level,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const onDropped = (lines: number): void =>
    logger.warn(
      { lines },
      "lines were left out here: this output could not be written for a while",
    );
  const output = new Output(unblockedStdout(), { onDropped });
  const stream =
    format === undefined ? output : { write: (line: string) => output.write(format(line)) };
  const logger: Logger = pino(options, stream);
  return logger;
}
