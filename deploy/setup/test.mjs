// All checks of `npm test`, one after the other: types, lint, format, then the tests. Goes on after
// a failure, and ends with one line of counts. Arguments go to vitest (`npm test -- FILE`), and then
// lint and format, which look at everything, are left out.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildStep } from "./build.mjs";
import { run, SetupError } from "./command.mjs";
import { countTests } from "./decisions.mjs";
import { readText } from "./toolchain.mjs";

/** How many fleets the tests of the control plane simulate; a run of vitest alone is content with a few. */
const simulatedSeeds = "2000";

const root = fileURLToPath(new URL("../..", import.meta.url));
const args = process.argv.slice(2);
const say = (line) => console.log(line);

const results = [await types()];
if (args.length === 0) results.push(await npmScript("lint"), await npmScript("format"));
results.push(await tests());

const total = (key) => results.reduce((sum, result) => sum + result[key], 0);
say(`${total("passed")} passed, ${total("failed")} failed`);
process.exit(total("failed") === 0 ? 0 : 1);

async function types() {
  say("--- types: the code of proto/, then tsc, which also compiles for the tests of processes");
  const build = buildStep({ root, say, stdio: "inherit" });
  try {
    if (build.ready()) say("nothing has changed since they last passed");
    else await build.install();
    return { passed: 1, failed: 0 };
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    return { passed: 0, failed: 1 };
  }
}

async function npmScript(name) {
  say(`--- ${name}: npm run ${name}`);
  const { code } = await run("npm", ["run", "--silent", name], { cwd: root, stdio: "inherit" });
  return code === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

async function tests() {
  say(`--- tests: vitest run ${args.join(" ")}`);
  const folder = mkdtempSync(join(tmpdir(), "bitfleet-test-"));
  try {
    const file = join(folder, "report.json");
    const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
    const { code } = await run(process.execPath, [vitest, "run", ...reporters, ...args], {
      cwd: root,
      env: { SEEDS: simulatedSeeds, ...process.env },
      stdio: "inherit",
    });
    const text = readText(file);
    return countTests(text === undefined ? undefined : JSON.parse(text), code);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
