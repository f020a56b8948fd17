/** Flags of `up`, `coordinator`, `worker` and of every command with a coordinator, out of the table of settings. */
import type { Command } from "commander";
import type { Variables } from "../process/variables.js";
import {
  processSetting,
  settingVariables,
  type processSettings,
} from "../process/processSettings.js";
import type { Part, ProcessSetting } from "../process/settingKinds.js";
import { flagOf, settingHelp } from "../process/settingText.js";
import { isS3 } from "../store/s3Address.js";
import { fromHere } from "./fromHere.js";

type Camel<Text extends string> = Text extends `${infer First}-${infer Rest}`
  ? `${First}${Capitalize<Camel<Rest>>}`
  : Text;

type FlagName<Row> = Row extends { readonly flag: `--${infer Name} <${string}>` }
  ? Camel<Name>
  : never;

/** Values of flags by their names as commander has them; undefined leaves what the environment has. */
export type PartFlags = {
  readonly [
    Variable in keyof typeof processSettings as FlagName<(typeof processSettings)[Variable]>
  ]?: string;
};

/** Adds the flags of a part. */
export function withFlags(command: Command, part: Part): Command {
  for (const variable of settingVariables) {
    const { flag } = processSetting(variable);
    if (flag !== undefined && flagOf(variable, part) !== undefined)
      command.option(flag, settingHelp(variable, part));
  }
  return command;
}

/** The values are checked by the process that reads them. Paths are made absolute from here. */
export function partEnvironment(variables: Variables, flags: PartFlags): Variables {
  const values: Variables = flags;
  const given: Record<string, string> = {};
  for (const variable of settingVariables) {
    const setting = processSetting(variable);
    const { flag } = setting;
    const value = flag === undefined ? undefined : values[keyOf(flag)];
    if (flag === undefined || value === undefined) continue;
    given[variable] = isPath(setting, value) ? fromHere(value, flag.replace(/ .*/, "")) : value;
  }
  return { ...variables, ...given };
}

/** As commander names the value of `--http-port <PORT>`: httpPort. */
function keyOf(flag: string): string {
  const name = flag.replace(/^--| .*$/g, "");
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

function isPath({ kind }: ProcessSetting, value: string): boolean {
  return kind === "file" || kind === "folder" || (kind === "store" && !isS3(value));
}
