import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { partEnvironment, withFlags } from "../../src/cli/partFlags.js";
import { Command } from "commander";
import { processSetting, settingVariables } from "../../src/process/processSettings.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { settingsPage } from "../docs/settingsPage.js";

const root = packageRoot();

/** Read by the set-up, which is no process of a fleet; CONTRIBUTING.md has them. */
const ofSetup = ["BITFLEET_TOOLCHAIN", "BITFLEET_TENSORFLOW"];
/** Two of a kind by a prefix that the code completes. */
const prefixes = ["BITFLEET_TLS_", "NATS_WORKER"];

function sources(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => /\.m?ts$|\.mjs$/.test(name))
    .map((name) => join(folder, name))
    .filter((path) => !/^src\/process\/(?:process|server)Settings\.ts$/.test(path));
}

const code = ["src", "coordinator", "worker", "deploy/setup"].flatMap(sources);
const texts = code.map((path) => readFileSync(join(root, path), "utf8"));

test("docs/settings.md is what the tables say (npm run docs writes it)", async () => {
  const page = readFileSync(join(root, "docs", "settings.md"), "utf8");
  expect(page).toBe(await settingsPage());
});

test("every variable of ours that the code names is in the table", () => {
  const named = texts.flatMap((text) => [
    ...text.matchAll(/(?<=["`.])(?:BITFLEET|NATS)_[A-Z0-9_]+(?=["`\W])/g),
  ]);
  const names = new Set(named.map(([name]) => name));
  expect(names.size).toBeGreaterThan(30);
  const known: readonly string[] = [...settingVariables, ...ofSetup, ...prefixes];
  expect([...names].filter((name) => !known.includes(name))).toEqual([]);
});

test("every variable of the table is read by the code", () => {
  const read = (name: string): boolean => {
    // TLS files and users of NATS are named by a prefix and an ending.
    const parts = /^(BITFLEET_TLS_|NATS_)(?:CERT|KEY|CA)_FILE$/.exec(name)?.[1];
    const user = /^(NATS(?:_WORKER)?)_(?:USER|PASSWORD_FILE)$/.exec(name)?.[1];
    return texts.some((text) => text.includes(`"${parts ?? user ?? name}"`));
  };
  expect(settingVariables.filter((name) => !read(name))).toEqual([]);
});

test("a flag's value reaches the variable of its row, and a path is made absolute", () => {
  const flags: Record<string, string> = {};
  for (const part of ["coordinator", "worker", "client"] as const) {
    const command = withFlags(new Command(), part);
    for (const option of command.options) flags[option.attributeName()] = "x";
  }
  const given = partEnvironment({}, flags);
  const flagged = settingVariables.filter((name) => processSetting(name).flag !== undefined);
  expect(Object.keys(given).sort()).toEqual([...flagged].sort());
  for (const name of flagged) {
    const isPath = ["file", "folder", "store"].includes(processSetting(name).kind);
    expect(given[name], name).toBe(isPath ? join(process.cwd(), "x") : "x");
  }
  expect(partEnvironment({}, { store: "s3://b/x" })).toEqual({ BITFLEET_STORE: "s3://b/x" });
});
