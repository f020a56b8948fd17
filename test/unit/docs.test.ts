import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import type { Command } from "commander";
import { createProgram } from "../../src/cli/program.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { anchorsOf, firstCells, linksOf, readPage, type Page } from "../docs/markdown.js";
import { FakeTerminal } from "./fakeTerminal.js";

const root = packageRoot();
const names = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
const pages = [
  ...names,
  ...readdirSync(join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name)),
].map((name) => readPage(join(root, name)));
const named = pages.map((page) => [relative(root, page.path), page] as const);

function page(name: string): Page {
  const found = named.find(([path]) => path === name)?.[1];
  if (found === undefined) throw new Error(`no page ${name}`);
  return found;
}

test("the pages that README sends people to are there", () => {
  const targets = linksOf(page("README.md")).map((target) => target.split("#")[0]);
  const pagesOfDocs = named.map(([path]) => path).filter((path) => path.startsWith("docs"));
  expect(pagesOfDocs.length).toBeGreaterThanOrEqual(7);
  for (const path of [...pagesOfDocs, "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"])
    expect(targets, path).toContain(path);
});

test("README names the command that runs all tests, and is short", () => {
  const { text, shellLines } = page("README.md");
  expect(shellLines.filter((line) => /^npm test\b/.test(line))).toHaveLength(1);
  expect(text.split("\n").length).toBeLessThanOrEqual(131);
});

describe.each(named)("%s", (_, shown) => {
  test("has no link that leads nowhere", () => {
    const broken = linksOf(shown).filter((target) => {
      if (/^https?:/.test(target)) return false;
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? shown.path : resolve(dirname(shown.path), path);
      if (!existsSync(file)) return true;
      return anchor !== undefined && !anchorsOf(readPage(file)).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  test("names no file that is not there", () => {
    const paths = [
      ...shown.text.matchAll(
        /(?<![\w./:-])(?:src|coordinator|worker|test|deploy|proto|docs)\/[\w./*-]*[\w*]/g,
      ),
    ].map(([path]) => path);
    expect(paths.filter((path) => !isThere(path))).toEqual([]);
  });

  test("shows no command and no flag that there is not", () => {
    const lines = [...shown.shellLines, ...shown.spans];
    const wrong = lines.flatMap((line) => [...wrongUses(line), ...wrongScripts(line)]);
    expect(wrong).toEqual([]);
  });
});

function isThere(path: string): boolean {
  const place = join(root, path);
  if (!path.includes("*")) return existsSync(place);
  const pattern = new RegExp(`^${place.replaceAll(".", "\\.").replaceAll("*", "[^/]*")}$`);
  const folder = dirname(place);
  return existsSync(folder) && readdirSync(folder).some((name) => pattern.test(join(folder, name)));
}

const program = createProgram({
  terminal: new FakeTerminal(),
  variables: {},
  signal: new AbortController().signal,
  setExitCode: () => undefined,
});
const flagsOf = (command: Command): readonly string[] =>
  command.options.flatMap(({ short, long }) => [short, long].filter((flag) => flag !== undefined));
const everyFlag = new Set(program.commands.flatMap((command) => leaves(command).flatMap(flagsOf)));
/** Of tools that are not ours, and of our set-up and scripts. */
const otherFlags = [
  "--help",
  "--gpu",
  "--cpu",
  "--broken",
  "--seed",
  "--seeds",
  "--kind",
  "--jobs",
];
const scriptFlags = ["--only", "--every", "--kills", "--logs", "--minutes", "--inputs", "--first"];

function leaves(command: Command): readonly Command[] {
  return command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
}

/** Of `bitfleet COMMAND --flag ...`, of a span that begins with a command or is a flag alone. */
function wrongUses(line: string): readonly string[] {
  const uses = [...line.matchAll(/(?:^|[\s;(])(?:npx )?bitfleet ([a-z-]+[^#&|;]*)/g)].map(
    ([, use = ""]) => use,
  );
  const [first = ""] = line.split(" ");
  const isBare = program.commands.some((command) => command.name() === first) && / --/.test(line);
  if (isBare) uses.push(line);
  const wrong = uses.flatMap((use) => wrongIn(use.trim().split(/\s+/)));
  const lone = /^--?[a-z][a-z-]*/.exec(line)?.[0];
  const known = [...everyFlag, ...otherFlags, ...scriptFlags];
  return lone === undefined || known.includes(lone) ? wrong : [...wrong, line];
}

function wrongIn(words: readonly string[]): readonly string[] {
  let command: Command = program;
  let rest = words;
  for (let next = find(command, rest[0]); next !== undefined; next = find(command, rest[0])) {
    command = next;
    rest = rest.slice(1);
  }
  if (command === program) return [`no command: ${words.join(" ")}`];
  const flags = [...flagsOf(command), "--help", "-h"];
  return rest
    .filter((word) => /^--?[a-z]/.test(word))
    .map((word) => word.replace(/=.*|[),.]$/g, ""))
    .filter((word) => !flags.includes(word))
    .map((word) => `${command.name()} has no ${word}`);
}

function find(command: Command, name: string | undefined): Command | undefined {
  return command.commands.find((one) => one.name() === name);
}

const manifest: unknown = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const scripts =
  typeof manifest === "object" && manifest !== null && "scripts" in manifest
    ? Object.keys(manifest.scripts as object)
    : [];

function wrongScripts(line: string): readonly string[] {
  return [...line.matchAll(/\bnpm run ([\w:]+)/g)]
    .map(([, name = ""]) => name)
    .filter((name) => !scripts.includes(name))
    .map((name) => `no script ${name}`);
}

test("README's table of commands has every command, and no other", () => {
  const shown = firstCells(page("README.md"), "## The command").flatMap((cell) =>
    [...cell.matchAll(/`([a-z-]+(?: [a-z]+)?)(?: [^`]*)?`/g)].map(([, name = ""]) => name),
  );
  const there = program.commands.flatMap((command) =>
    command.commands.length === 0
      ? [command.name()]
      : command.commands.map((sub) => `${command.name()} ${sub.name()}`),
  );
  expect([...shown].sort()).toEqual([...there].sort());
});

test("every setting of a process that a page names is in the table of settings, or the set-up's", () => {
  const table = page(join("docs", "settings.md")).text;
  const ofSetup = ["BITFLEET_TOOLCHAIN", "BITFLEET_TENSORFLOW"];
  const wrong = pages.flatMap(({ text }) =>
    [...text.matchAll(/\b(?:BITFLEET|NATS)_[A-Z0-9_]*[A-Z0-9]\b/g)]
      .map(([name]) => name)
      .filter((name) => !table.includes(`\`${name}\``) && !ofSetup.includes(name)),
  );
  expect(wrong).toEqual([]);
});

test("every term of the glossary is explained once", () => {
  const { prose } = page(join("docs", "glossary.md"));
  const entries = [...prose.matchAll(/^- \*\*([^*]+)\*\*:([\s\S]*?)(?=^- |^#|$(?![\s\S]))/gm)];
  const terms = entries.map(([, term = ""]) => term);
  expect(terms.length).toBeGreaterThan(60);
  expect(terms.filter((term, i) => terms.indexOf(term) !== i)).toEqual([]);
  expect(terms.filter((term) => term !== term.toLowerCase())).toEqual([]);
  for (const [, term = "", about = ""] of entries)
    expect(about.trim(), term).toMatch(/^[a-z][\s\S]{20,}[.)]$/i);
  const spoken = [...prose.matchAll(/^- /gm)];
  expect(spoken).toHaveLength(terms.length);
});

test("operations.md explains every alert, and no other", () => {
  const rules = readFileSync(
    join(root, "deploy/chart/bitfleet/files/prometheus/bitfleet.yaml"),
    "utf8",
  );
  const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map(([, name = ""]) => `\`${name}\``);
  expect(alerts.length).toBeGreaterThan(5);
  const shown = firstCells(page(join("docs", "operations.md")), "## Alerts");
  expect([...shown].sort()).toEqual([...alerts].sort());
});

test("the log lines and reasons that operations.md explains are in the code", () => {
  const code = ["src/control", "src/process", "coordinator", "worker"]
    .flatMap((folder) =>
      readdirSync(join(root, folder)).map((name) => readFileSync(join(root, folder, name), "utf8")),
    )
    .join("\n")
    .replace(/\$\{[^}]*\}/g, "${}");
  const operations = page(join("docs", "operations.md"));
  const headings = ["## What log lines mean", "## Why a job or a worker waits"];
  const cells = headings.flatMap((heading) => firstCells(operations, heading));
  expect(cells.length).toBeGreaterThan(40);
  // What stands between names (W), jobs (J), numbers (N, K, S) and what is cut (...) is as the code has it.
  const parts = cells.flatMap((cell) =>
    [...cell.matchAll(/`([^`]+)`/g)].flatMap(([, line = ""]) =>
      line.split(/\b[A-Z]\b|\.\.\./).map((part) => part.trim()),
    ),
  );
  const words = parts.filter((part) => part.replace(/^[:;,]\s*|\s*:$/g, "").length > 5);
  expect(words.filter((part) => !code.includes(part.replace(/^[:;,]\s*|\s*:$/g, "")))).toEqual([]);
});
