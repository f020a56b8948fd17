// libtensorflow and its C headers, out of TensorFlow's wheel: the CPU build alone, or the CUDA 12
// build with NVIDIA's packages beside it, in the layout that pip gives them. The libraries find
// CUDA relative to themselves (`$ORIGIN/../nvidia/*/lib`), so that layout has to stay.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { SetupError } from "./command.mjs";
import { extraRequirements } from "./decisions.mjs";
import { installFolder, partOf } from "./toolchain.mjs";
import { cudaVersions, tensorflowVersion } from "./versions.mjs";
import { discard, fetchWheel, unpackWheel } from "./wheels.mjs";

export const libraries = ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"];

/** All that the addon's sources include, of some 13,000 headers. */
const headers = ["tensorflow/c/", "tensorflow/core/platform/", "tsl/platform/", "xla/tsl/c/"];

/** Which TensorFlow folder this machine uses: the one given, or the toolchain's for its device. */
export function chooseTensorflow({ env, toolchain, machine, gpu }) {
  const given = env.BITFLEET_TENSORFLOW;
  if (given) return givenTensorflow(resolve(given));
  const target = `${machine.platform}-${machine.arch}`;
  const site = join(toolchain, `tensorflow-${gpu ? "gpu" : "cpu"}-${tensorflowVersion}-${target}`);
  return { folder: join(site, "tensorflow"), version: tensorflowVersion, gpu, given: false };
}

function givenTensorflow(folder) {
  for (const name of [...libraries, "include/tensorflow/c/c_api.h"]) {
    if (!existsSync(join(folder, name))) {
      throw new SetupError(`BITFLEET_TENSORFLOW is ${folder}, but there is no ${name} in it.`);
    }
  }
  const site = dirname(folder);
  const info = readdirSync(site).map((name) =>
    /^tensorflow[a-z_]*-(\d[^-]*)\.dist-info$/.exec(name),
  );
  const version = info.find((match) => match !== null)?.[1] ?? "unknown";
  return { folder, version, gpu: existsSync(join(site, "nvidia")), given: true };
}

export function tensorflowStep({ toolchain, machine, tensorflow, say }) {
  return {
    tools: () => ["python", "pip"],
    ready: () => tensorflow.given || existsSync(tensorflow.folder),
    install: async () => {
      const site = dirname(tensorflow.folder);
      if (!tensorflow.gpu) {
        const wheel = await fetch(`tensorflow-cpu==${tensorflow.version}`, "about 270 MB");
        say(`unpacking libtensorflow ${tensorflow.version} into ${site}`);
        await installFolder(site, (part) => unpackTensorflow(wheel, part));
        discard(wheel);
        return;
      }
      const wheel = await fetch(`tensorflow==${tensorflow.version}`, "about 570 MB");
      const cuda = [];
      for (const requirement of await cudaRequirements(wheel, toolchain)) {
        cuda.push(await fetch(requirement, "CUDA 12"));
      }
      say(`unpacking libtensorflow ${tensorflow.version} and CUDA 12 into ${site}`);
      await installFolder(site, async (part) => {
        await unpackTensorflow(wheel, part);
        for (const path of cuda) await unpackWheel(path, part, ["nvidia/"]);
      });
      for (const path of [wheel, ...cuda]) discard(path);
    },
  };

  function fetch(requirement, size) {
    say(`downloading ${requirement} with pip (${size}, once for this machine)`);
    return fetchWheel(toolchain, requirement, machine);
  }
}

function unpackTensorflow(wheel, site) {
  const include = headers.map((folder) => `tensorflow/include/${folder}`);
  return unpackWheel(wheel, site, [
    ...libraries.map((name) => `tensorflow/${name}`),
    ...include,
    `${distInfo(wheel)}/`,
  ]);
}

/** NVIDIA's packages as the wheel's extra `and-cuda` lists them, each at the version we name. */
async function cudaRequirements(wheel, toolchain) {
  const folder = partOf(join(toolchain, "metadata"));
  const file = `${distInfo(wheel)}/METADATA`;
  await unpackWheel(wheel, folder, [file]);
  const requirements = extraRequirements(readFileSync(join(folder, file), "utf8"), "and-cuda");
  if (requirements.length === 0) {
    throw new SetupError(`${basename(wheel)} lists no CUDA packages under its extra and-cuda.`);
  }
  return requirements.map((requirement) => {
    const name = /^[A-Za-z0-9._-]+/.exec(requirement)[0];
    if (cudaVersions[name] === undefined)
      throw new SetupError(
        `${basename(wheel)} asks for ${name}, but versions.mjs names no version.`,
      );
    return `${name}==${cudaVersions[name]}`;
  });
}

/** `NAME-VERSION.dist-info`, from the wheel's own file name. */
function distInfo(wheel) {
  return `${basename(wheel).split("-").slice(0, 2).join("-")}.dist-info`;
}
