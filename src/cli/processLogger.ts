import type { LogFormat, LoggerLevel } from "../process/logLevels.js";
import { createLogger, type Logger } from "../process/logger.js";
import { logFormatter } from "./readableLog.js";

/** The log of a coordinator or a worker, as its user wants it; see createLogger. */
export function processLogger(
  base: Readonly<Record<string, string>>,
  { logLevel, logFormat }: { readonly logLevel: LoggerLevel; readonly logFormat: LogFormat },
): Logger {
  return createLogger(base, logLevel, logFormatter(logFormat, process.env));
}
