/** What the table of settings says in words: for help, refusals and docs. */
import { processSetting, type SettingVariable } from "./processSettings.js";
import type { Part, ProcessSetting } from "./settingKinds.js";

/** What a value must be, for a refusal and for docs. */
export function mustBe(setting: ProcessSetting): string {
  switch (setting.kind) {
    case "port":
      return "a port of 0 to 65535";
    case "whole": {
      const what = setting.unit === undefined ? "a whole number" : `whole ${setting.unit}`;
      return `${what} from ${setting.min} to ${setting.max}`;
    }
    case "choice":
      return setting.choices.length === 2
        ? setting.choices.join(" or ")
        : `one of ${setting.choices.join(", ")}`;
    case "file":
      return "a file";
    case "folder":
      return "a folder";
    case "store":
      return "a folder, or s3://BUCKET/PREFIX";
    case "text":
      return setting.must;
  }
}

/** The flag without its value: `--port`; undefined where this part has none. */
export function flagOf(variable: SettingVariable, part: Part): string | undefined {
  const { flag, flagless, about } = processSetting(variable);
  if (flag === undefined || about[part] === undefined || flagless?.includes(part) === true)
    return undefined;
  return flag.split(" ")[0];
}

/** One line of help. */
export function settingHelp(variable: SettingVariable, part: Part): string {
  const { about, default: value } = processSetting(variable);
  const otherwise = value === "" ? "" : `, ${value} by default`;
  return `${about[part] ?? ""}${otherwise} (${variable})`;
}
