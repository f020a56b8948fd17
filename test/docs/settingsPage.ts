/** docs/settings.md, out of the tables that the processes and the command line read. */
import { format } from "prettier";
import { processSetting, settingVariables } from "../../src/process/processSettings.js";
import type { Part } from "../../src/process/settingKinds.js";
import { flagOf, mustBe } from "../../src/process/settingText.js";
import {
  flag,
  placeholder,
  settingNames,
  settingOf,
  type Setting,
} from "../../src/job/settings.js";

const parts: readonly (readonly [Part, string, string])[] = [
  [
    "coordinator",
    "Coordinator",
    "Of `bitfleet coordinator`, and of the coordinator of `bitfleet up`.",
  ],
  [
    "worker",
    "Worker",
    "Of `bitfleet worker`, and of the workers of `bitfleet up`, which has them from its environment.",
  ],
  ["client", "Commands", "Of every command that calls a coordinator, such as `bitfleet jobs`."],
];

const head = `# Settings

Made by \`npm run docs\` from \`src/process/processSettings.ts\` and \`src/job/settings.ts\`: change those, not this page.

A flag wins over its variable, and an empty variable counts as not set. A value that is out of bounds is refused at the start, by a
sentence that names the setting, the value and the bound. What the chart lets an installation choose is in
\`deploy/chart/bitfleet/values.yaml\`.
`;

/** The page as it is checked in: laid out by prettier, as all files are. */
export async function settingsPage(): Promise<string> {
  const sections = parts.map(([part, title, about]) => section(title, about, rowsOf(part)));
  const text = [head, ...sections, section("Jobs", jobsAbout, jobRows())].join("\n");
  return format(text, { parser: "markdown", printWidth: 100 });
}

const jobsAbout =
  "Of `bitfleet submit`. Each is a field of `JobSettings` in `proto/bitfleet/v1/training.proto`, too. " +
  "What is decided by the recipe depends on the data; `bitfleet submit --dry-run` shows it.";

function section(title: string, about: string, rows: readonly (readonly string[])[]): string {
  const columns = title === "Jobs" ? ["flag", "must be", "default", "what it is"] : processColumns;
  const lines = [columns, columns.map(() => "---"), ...rows];
  const table = lines.map((cells) => `| ${cells.map(escaped).join(" | ")} |`);
  return `## ${title}\n\n${about}\n\n${table.join("\n")}\n`;
}

const processColumns = ["variable", "flag", "must be", "default", "what it is"];

function rowsOf(part: Part): readonly (readonly string[])[] {
  return settingVariables.flatMap((variable) => {
    const setting = processSetting(variable);
    const about = setting.about[part];
    if (about === undefined) return [];
    const name = flagOf(variable, part);
    const value = setting.default === "" ? "" : String(setting.default);
    return [[code(variable), name === undefined ? "" : code(name), mustBe(setting), value, about]];
  });
}

function jobRows(): readonly (readonly string[])[] {
  return settingNames.map((name) => {
    const setting = settingOf(name);
    const value = placeholder(name);
    const given = setting.default === false ? "" : String(setting.default);
    return [
      code(value === undefined ? flag(name) : `${flag(name)} ${value}`),
      boundOf(setting),
      given,
      setting.about,
    ];
  });
}

function boundOf(setting: Setting): string {
  switch (setting.kind) {
    case "text":
      return "a text";
    case "choice":
      return setting.choices.join(" or ");
    case "switch":
      return "given or not";
    case "fractions":
      return `up to ${setting.lengthMax} increasing numbers between 0 and 1`;
    case "whole":
    case "number": {
      const what = setting.kind === "whole" ? "a whole number" : "a number";
      return `${what} from ${setting.min} to ${setting.max}`;
    }
  }
}

function code(text: string): string {
  return `\`${text}\``;
}

function escaped(cell: string): string {
  return cell.replaceAll("|", "\\|");
}
