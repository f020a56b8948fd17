/** Renders the chart with the real helm, and reads what comes out. */
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";

export const chartFolder = join(import.meta.dirname, "../../deploy/chart/bitfleet");

export type Values = Readonly<Record<string, unknown>>;

/** Throws what helm says where it refuses the values. */
export function render(helm: string, values: Values, release = "fleet"): readonly unknown[] {
  const output = execFileSync(
    helm,
    ["template", release, chartFolder, "--namespace", "training", "--values", "-"],
    { input: JSON.stringify(values), encoding: "utf8", stdio: "pipe", maxBuffer: 2 ** 26 },
  );
  return parseYaml(output).filter((document) => document !== null && document !== undefined);
}

export function parseYaml(yaml: string): readonly unknown[] {
  const module: unknown = createRequire(import.meta.url)("js-yaml");
  const loadAll = at(module, "loadAll");
  if (typeof loadAll !== "function") throw new Error("js-yaml has no loadAll");
  const loaded: unknown = Reflect.apply(loadAll, undefined, [yaml]);
  return list(loaded);
}

/** The value at the end of a path of keys, or undefined where the path leaves the document. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (found, key) =>
      typeof found === "object" && found !== null && key in found
        ? Object.entries(found).find(([name]) => name === key)?.[1]
        : undefined,
    value,
  );
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Every pod of a rendered chart, templates of workloads included. */
export function podsOf(documents: readonly unknown[]): readonly unknown[] {
  return documents.flatMap((document) => {
    if (at(document, "kind") === "Pod") return [document];
    const template = at(document, "spec", "template");
    return template === undefined ? [] : [template];
  });
}

export function containersOf(pod: unknown): readonly unknown[] {
  return ["initContainers", "containers"].flatMap((key) => list(at(pod, "spec", key)));
}
