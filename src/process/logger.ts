import { destination, pino, stdTimeFunctions, type Logger } from "pino";
import type { LoggerLevel } from "./logLevels.js";

export type { Logger } from "pino";

/**
 * One JSON object per line on stdout, written before the call returns: the last lines of a process that dies are the ones
 * that matter. `base` is bound to every line; bind `job`, `generation`, `rank` and `step` with `logger.child`.
 */
export function createLogger(
  base: Readonly<Record<string, string | number>>,
  level: LoggerLevel = "info",
): Logger {
  const stdout = destination({ fd: 1, sync: true });
  // Whoever read our output is gone. The work goes on without an audience.
  stdout.on("error", () => undefined);
  const options = {
    base,
    level,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return pino(options, stdout);
}
