import { lineEvents, type LineEvent } from "../src/control/fleetEvent.js";
import type { LogLevel } from "../src/control/message.js";
import { cut } from "../src/job/cutText.js";
import type { LogLine } from "../src/wire/training.js";

/** A line before it has its number. */
export interface LogEvent {
  readonly timeMs: number;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Fields;
  readonly event?: LineEvent;
}

type Fields = Readonly<Record<string, string | number | boolean>>;

/** As long as a message on the wire may carry. */
const messageMax = 4000;
const fieldsMax = 8000;

/** JSON, for whoever reads the stream without us. */
export function encodeLine(sequence: number, term: number, event: LogEvent): Uint8Array {
  const { timeMs, level, message, event: what } = event;
  const tooLong = JSON.stringify(event.fields).length > fieldsMax;
  const fields: Fields = tooLong ? { fields: "too long" } : event.fields;
  const shown = cut(message, messageMax);
  const line = { sequence, term, timeMs, level, event: what, message: shown, fields };
  return new TextEncoder().encode(JSON.stringify(line));
}

/** Nothing for what is no line of ours: it is skipped, since a log with a hole is better than none. */
export function decodeLine(bytes: Uint8Array): LogLine | undefined {
  const value = parse(bytes);
  if (!isRecord(value)) return undefined;
  const { sequence, timeMs, level, message, fields } = value;
  if (typeof sequence !== "number" || !Number.isSafeInteger(sequence) || sequence < 1)
    return undefined;
  if (typeof timeMs !== "number" || !isLevel(level) || typeof message !== "string")
    return undefined;
  const event = lineEvents.find((known) => known === value["event"]);
  const line = { sequence, timeMs, level, message, ...(event !== undefined && { event }) };
  return isFields(fields) ? { ...line, fields } : undefined;
}

/** The term of the coordinator that wrote the line; 0 where it says nothing of it. */
export function termOf(bytes: Uint8Array): number {
  const value = parse(bytes);
  return isRecord(value) && typeof value["term"] === "number" ? value["term"] : 0;
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

function isLevel(value: unknown): value is LogLevel {
  return value === "debug" || value === "info" || value === "warn" || value === "error";
}

function isFields(value: unknown): value is Fields {
  return (
    isRecord(value) &&
    Object.values(value).every((field) => ["string", "number", "boolean"].includes(typeof field))
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
