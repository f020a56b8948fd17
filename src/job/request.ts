import { architecture } from "../bit/architecture.js";
import { isWellFormed, quote } from "./cutText.js";
import { dataSetAt, isDataName } from "./dataPlace.js";
import { ConfigError } from "./problem.js";
import {
  flag,
  isRequired,
  kebab,
  placeholder,
  settingNames,
  settingOf,
  type JobRequest,
  type JobSettings,
  type Setting,
  type SettingName,
} from "./settings.js";

/**
 * Reads what a user gave: from flags or a form, where every value is a text, or from the wire.
 * Whatever is wrong is refused with a ConfigError whose one sentence names setting, value and bound.
 * Rules between settings are the plan's.
 */

const textLengthMax = 4096;
const dnsLabel = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/**
 * The request, with numbers as numbers. Absent, undefined, and empty (an empty text or list) all
 * mean "not given"; unknown names are refused.
 */
export function checkRequest(raw: Readonly<Record<string, unknown>>): JobRequest {
  const checked: Partial<Record<SettingName, unknown>> = {};
  for (const [key, value] of Object.entries(raw)) {
    const name = settingNames.find((known) => known === key);
    if (name === undefined) throw new ConfigError(`there is no setting ${quoted(key)}`);
    if (!isGiven(value)) continue;
    checked[name] = read(name, settingOf(name), value);
  }
  const missing = settingNames.filter((name) => isRequired(name) && checked[name] === undefined);
  if (missing.length > 0) throw notGiven(missing);
  // The cast: every value was read as the table says, and the type is made from the table.
  const request = checked as JobRequest;
  checkNames(request);
  return request;
}

/** Settings of which every one is decided, as in a record. Refuses a missing number or choice. */
export function checkSettings(raw: Readonly<Record<string, unknown>>): JobSettings {
  const request: Readonly<Partial<Record<SettingName, unknown>>> = checkRequest(raw);
  const settings: Partial<Record<SettingName, unknown>> = {};
  for (const name of settingNames) {
    settings[name] = request[name] ?? none(settingOf(name));
    if (settings[name] === undefined) throw new ConfigError(`${kebab(name)} is not decided`);
  }
  // The cast: as in `checkRequest`, and none is missing.
  return settings as JobSettings;
}

/** The form of a job's name, also where only a name is asked for. */
export function checkJobName(name: string): string {
  if (dnsLabel.test(name)) return name;
  throw new ConfigError(
    `name is ${quoted(name)}, not a DNS label: up to 63 of a-z, 0-9 and -, without - at the ends`,
  );
}

/** Throws a ConfigError for what cannot be a worker's id. */
export function checkWorkerId(id: string): string {
  if (dnsLabel.test(id)) return id;
  throw new ConfigError(
    `worker is ${quoted(id)}, not an id: up to 63 of a-z, 0-9 and -, without - at the ends`,
  );
}

/** More would be in each other's way on one machine. */
export const localWorkersMax = 64;

/** Throws a ConfigError for what cannot be a number of workers on one machine. */
export function checkLocalWorkers(workers: number): number {
  if (Number.isInteger(workers) && workers >= 0 && workers <= localWorkersMax) return workers;
  throw new ConfigError(
    `workers is ${workers}, not a whole number from 0 to ${localWorkersMax}, as many as one machine is given`,
  );
}

function checkNames({ name, model, data, validation, weights }: JobRequest): void {
  checkJobName(name);
  architecture(model);
  for (const [setting, place] of Object.entries({ data, validation })) {
    const dataSet = dataSetAt(place ?? "");
    if (dataSet === undefined || isDataName(dataSet)) continue;
    throw new ConfigError(`${setting} is ${quoted(place)}, which names no data set after "store:"`);
  }
  if (weights?.startsWith("job:") === true && !dnsLabel.test(weights.slice("job:".length))) {
    throw new ConfigError(`weights is ${quoted(weights)}, which names no job after "job:"`);
  }
}

/** All at once, and how a command line says them. */
function notGiven(missing: readonly SettingName[]): ConfigError {
  const names = missing.map(kebab).join(", ");
  const flags = missing.map((name) => `${flag(name)} ${placeholder(name) ?? ""}`).join(" ");
  return new ConfigError(`${names} ${missing.length === 1 ? "is" : "are"} not given: ${flags}`);
}

function isGiven(value: unknown): boolean {
  return !(
    value === undefined ||
    value === null ||
    value === "" ||
    (Array.isArray(value) && value.length === 0)
  );
}

function none(setting: Setting): unknown {
  if (setting.kind === "text") return "";
  return setting.kind === "fractions" ? [] : undefined;
}

function read(name: SettingName, setting: Setting, value: unknown): unknown {
  const refuse = (bound: string): never => {
    throw new ConfigError(`${kebab(name)} is ${quoted(value)}, not ${bound}`);
  };
  switch (setting.kind) {
    case "text":
      return isPlainText(value) ? value : refuse(`a text of up to ${textLengthMax} characters`);
    case "choice":
      return (
        setting.choices.find((choice) => choice === value) ?? refuse(setting.choices.join(" or "))
      );
    case "switch":
      return readSwitch(value) ?? refuse("true or false");
    case "fractions":
      return (
        readFractions(value, setting.lengthMax) ??
        refuse(`up to ${setting.lengthMax} increasing numbers between 0 and 1, such as 0.3,0.6,0.9`)
      );
    case "whole":
    case "number": {
      const { kind, min, max } = setting;
      const number = readNumber(value);
      const fits = number !== undefined && number >= min && number <= max;
      if (fits && (kind === "number" || Number.isInteger(number))) return number;
      return refuse(`a ${kind === "whole" ? "whole number" : "number"} from ${min} to ${max}`);
    }
  }
}

function isPlainText(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length <= textLengthMax &&
    !/[\0-\x1f\x7f]/.test(value) &&
    isWellFormed(value)
  );
}

function readSwitch(value: unknown): boolean | undefined {
  if (typeof value === "boolean") return value;
  return value === "true" ? true : value === "false" ? false : undefined;
}

function readNumber(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  return typeof value === "string" && decimal.test(value.trim()) ? Number(value) : undefined;
}

function readFractions(value: unknown, lengthMax: number): readonly number[] | undefined {
  const parts: readonly unknown[] | undefined = Array.isArray(value)
    ? value
    : typeof value === "string"
      ? value.split(",")
      : undefined;
  const numbers = parts?.map(readNumber) ?? [];
  let last = 0;
  const fractions: number[] = [];
  for (const number of numbers) {
    if (number === undefined || number <= last || number >= 1) return undefined;
    fractions.push(number);
    last = number;
  }
  return fractions.length >= 1 && fractions.length <= lengthMax ? fractions : undefined;
}

function quoted(value: unknown): string {
  if (Array.isArray(value)) return quoted(value.join(","));
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return `a value of type ${typeof value}`;
  return quote(value, 100);
}
