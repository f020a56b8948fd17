// The native half of @tensorflow/tfjs-node-gpu, built from the package's own sources against the
// libtensorflow at hand. Its own installer would fetch a library from 2022 that knows CUDA 11 only.

import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { findOnPath, mustRun } from "./command.mjs";
import { compilers } from "./machine.mjs";
import { libraries } from "./tensorflow.mjs";
import { linkTarget, partOf, pointLink, readText } from "./toolchain.mjs";

const flags = ["-shared", "-fPIC", "-O2", "-std=c++17", "-w", "-DNAPI_VERSION=8"];
const link = [...libraries.map((name) => `-l:${name}`), "-Wl,-rpath,$ORIGIN/../../deps/lib"];

/** Names one build of the addon: the same name, the same code. */
export function addonName({ tfjsVersion, tensorflow, machine }) {
  const target = `${machine.platform}-${machine.arch}-glibc${machine.glibc}`;
  const version = tensorflow.version === "unknown" ? tensorflow.folder : tensorflow.version;
  const parts = JSON.stringify([tfjsVersion, version, target, flags, link]);
  const digest = createHash("sha256").update(parts).digest("hex").slice(0, 12);
  return `tfjs-addon-${tfjsVersion}-${target}-${digest}.node`;
}

/** The version of the tfjs-node-gpu that the lock file pins. */
export function lockedTfjsVersion(lock) {
  return lock.packages["node_modules/@tensorflow/tfjs-node-gpu"].version;
}

export function addonStep({ root, toolchain, tensorflow, addon, recorded, say }) {
  const home = join(root, "node_modules", "@tensorflow", "tfjs-node-gpu");
  const binding = join(home, "lib", "napi-v8", "tfjs_binding.node");
  const libraryLink = join(home, "deps", "lib");
  const cached = join(toolchain, addon);
  return {
    tools: () => (existsSync(cached) ? [] : ["compiler"]),
    ready: () =>
      recorded()?.addon === addon &&
      existsSync(binding) &&
      linkTarget(libraryLink) === tensorflow.folder,
    install: async () => {
      if (!existsSync(cached)) {
        say("compiling the tfjs-node-gpu addon from its sources (about 15 seconds)");
        await compile({ root, home, tensorflow, output: cached });
      }
      say(`pointing tfjs-node-gpu at libtensorflow ${tensorflow.version} in ${tensorflow.folder}`);
      // The folder is linked, not its files: the libraries then find nvidia/ beside the real one.
      pointLink(libraryLink, tensorflow.folder);
      mkdirSync(dirname(binding), { recursive: true });
      // A copy, not a link: Node follows links, and the run path above is relative to the file.
      copyFileSync(cached, partOf(binding));
      renameSync(partOf(binding), binding);
    },
  };
}

async function compile({ root, home, tensorflow, output }) {
  const sources = readdirSync(join(home, "binding")).filter((name) => name.endsWith(".cc"));
  const include = [
    home,
    join(tensorflow.folder, "include"),
    join(root, "node_modules", "node-api-headers", "include"),
  ];
  const compiler = compilers.find((name) => findOnPath(name) !== undefined) ?? "g++";
  const part = partOf(output);
  try {
    await mustRun("Compiling the tfjs-node-gpu addon", compiler, [
      ...flags,
      ...include.map((folder) => `-I${folder}`),
      ...sources.sort().map((name) => join(home, "binding", name)),
      `-L${tensorflow.folder}`,
      ...link,
      ...["-o", part],
    ]);
    renameSync(part, output);
  } finally {
    rmSync(part, { force: true });
  }
}

/** What the rest of the code reads to find TensorFlow and NATS. */
export function recordFile(root) {
  return join(root, "node_modules", ".bitfleet", "toolchain.json");
}

export function readRecord(root) {
  const text = readText(recordFile(root));
  return text === undefined ? undefined : JSON.parse(text);
}

export function readLock(root) {
  return JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
}
