/** The fields of a log line travel as a JSON object of texts, numbers and booleans. */
import { WireError } from "../job/problem.js";
import { check, cut, quote } from "./codec.js";

export type Fields = Readonly<Record<string, string | number | boolean>>;

const fieldsMax = 32;
const fieldTextMax = 1024;
const jsonMax = 64 * 1024;
const namePattern = /^[a-zA-Z][a-zA-Z0-9]{0,63}$/;

/** Numbers that JSON lacks become their names, texts are cut, and what the other side would refuse is left out. */
export function encodeFields(fields: Fields): string {
  const entries: (readonly [string, string | number | boolean])[] = [];
  let length = 2;
  for (const [name, value] of Object.entries(fields)) {
    if (entries.length === fieldsMax || !namePattern.test(name)) continue;
    const entry = [name, plain(value)] as const;
    // With the quotes, the colon and the comma.
    length += name.length + JSON.stringify(entry[1]).length + 4;
    if (length > jsonMax) break;
    entries.push(entry);
  }
  return JSON.stringify(Object.fromEntries(entries));
}

export function decodeFields(json: string): Fields {
  if (json === "") return {};
  check(json.length <= jsonMax, `fields of ${json.length} characters`);
  const value = parseJson(json, "fields");
  check(isObject(value), "fields that are no object");
  const entries = Object.entries(value);
  check(entries.length <= fieldsMax, `${entries.length} fields, ${fieldsMax} allowed`);
  return Object.fromEntries(entries.map(([name, field]) => [fieldName(name), scalar(field, name)]));
}

/** WireError instead of SyntaxError. */
export function parseJson(json: string, what: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new WireError(`${what} that are no JSON`, { cause: error });
  }
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function plain(value: string | number | boolean): string | number | boolean {
  if (typeof value === "string") return cut(value, fieldTextMax);
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

function fieldName(name: string): string {
  check(namePattern.test(name), `field ${quote(name)}`);
  return name;
}

function scalar(value: unknown, name: string): string | number | boolean {
  if (typeof value === "string") {
    check(value.length <= fieldTextMax, `field ${name} of ${value.length} characters`);
    return value;
  }
  check(typeof value === "number" || typeof value === "boolean", `field ${name} is no scalar`);
  return value;
}
