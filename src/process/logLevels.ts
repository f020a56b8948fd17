/** Apart from the logger: whoever only reads settings does not load pino. */
export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LoggerLevel = (typeof logLevels)[number];

/** `auto`: text on a terminal, else JSON. */
export const logFormats = ["auto", "json", "text"] as const;
export type LogFormat = (typeof logFormats)[number];
