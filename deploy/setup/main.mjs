// node deploy/setup/main.mjs [--gpu | --cpu] [--for-tests] [--run FILE ARGUMENTS...]
//
// Installs all that Bitfleet needs, then runs FILE with the arguments that are left. Plain
// JavaScript without packages, since there are none yet; and what this file itself imports must
// parse in any Node, so that an old one is told what it is.

import { compareVersions, parseArguments } from "./decisions.mjs";
import { oldestNode } from "./versions.mjs";

if (compareVersions(process.versions.node, oldestNode) < 0) {
  console.error(
    `Bitfleet needs Node ${oldestNode} or newer; this is ${process.versions.node}. Install it with:\n` +
      "  sudo npm install -g n && sudo n 22",
  );
  process.exit(1);
}

const { SetupError } = await import("./command.mjs");
const { folderProblem } = await import("./toolchain.mjs");
const { setUp } = await import("./setup.mjs");
const { fileURLToPath, pathToFileURL } = await import("node:url");
const { resolve } = await import("node:path");

const { run, rest, ...options } = parseArguments(process.argv.slice(2));
// `npm run demo --gpu`, without `--` in between, arrives as a setting of npm.
if (process.env.npm_config_gpu && options.device === "auto") options.device = "gpu";

// Ending in an orderly way runs the exit handlers: they stop what was started and give back the lock.
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
])
  process.once(signal, () => process.exit(code));
// Node has made this one deadly also where nohup had it ignored; then no stream is a terminal.
const { isatty } = await import("node:tty");
process.on("SIGHUP", () => [0, 1, 2].some((fd) => isatty(fd)) && process.exit(129));

try {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const say = (line) => console.log(`set-up: ${line}`);
  await setUp({ root, env: process.env, ...options, say });
} catch (error) {
  const problem = error instanceof SetupError ? error.message : folderProblem(error);
  if (problem === undefined) throw error;
  console.error(problem);
  process.exit(1);
}

if (run !== undefined) {
  process.removeAllListeners("SIGINT");
  process.removeAllListeners("SIGTERM");
  process.removeAllListeners("SIGHUP");
  process.argv = [process.argv[0], resolve(run), ...rest];
  await import(pathToFileURL(process.argv[1]).href);
}
