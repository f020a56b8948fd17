/** A setting out of the environment, checked as the table of settings says. An empty variable counts as not set. */
import { ConfigError } from "../job/problem.js";
import { processSetting, processSettings, type SettingVariable } from "./processSettings.js";
import { mustBe } from "./settingText.js";
import type { Variables } from "./variables.js";

type OfKind<Kind extends string> = {
  readonly [Name in SettingVariable]: (typeof processSettings)[Name]["kind"] extends Kind
    ? Name
    : never;
}[SettingVariable];

/** What `(typeof processSettings)[Name]` may be chosen from. */
type ChoiceOf<Name extends OfKind<"choice">> = (typeof processSettings)[Name]["choices"][number];

const portMax = 65_535;

/** Undefined: not set. ConfigError names the variable, the value and the bound, as all of these do. */
export function readNumber(
  variables: Variables,
  variable: OfKind<"port" | "whole">,
): number | undefined {
  const value = textOf(variables, variable);
  if (value === undefined) return undefined;
  const setting = processSetting(variable);
  const [min, max] = setting.kind === "whole" ? [setting.min, setting.max] : [0, portMax];
  const number = Number(value);
  if (!/^\d{1,16}$/.test(value) || number < min || number > max) throw refusal(variable, value);
  return number;
}

/** As `readNumber`, where the table has a default. */
export function numberOrDefault(variables: Variables, variable: NumberWithDefault): number {
  return readNumber(variables, variable) ?? processSettings[variable].default;
}

type NumberWithDefault = {
  readonly [
    Name in OfKind<"port" | "whole">
  ]: (typeof processSettings)[Name]["default"] extends number ? Name : never;
}[OfKind<"port" | "whole">];

export function readChoice<Name extends OfKind<"choice">>(
  variables: Variables,
  variable: Name,
): ChoiceOf<Name> {
  const { choices, default: otherwise } = processSettings[variable];
  const value = textOf(variables, variable) ?? otherwise;
  const known: readonly ChoiceOf<Name>[] = choices;
  const choice = known.find((one) => one === value);
  if (choice === undefined) throw refusal(variable, value);
  return choice;
}

/** A text of the table's form. */
export function readText(variables: Variables, variable: SettingVariable): string | undefined {
  const value = textOf(variables, variable);
  const setting = processSetting(variable);
  if (value !== undefined && setting.kind === "text" && setting.pattern?.test(value) === false)
    throw refusal(variable, value);
  return value;
}

export function textOf(variables: Variables, name: string): string | undefined {
  const value = variables[name];
  return value === undefined || value === "" ? undefined : value;
}

function refusal(variable: SettingVariable, value: string): ConfigError {
  return new ConfigError(
    `${variable} is "${value}", but must be ${mustBe(processSetting(variable))}`,
  );
}
