/** Kubernetes' own schemas (see schemas.py), with which every rendered object is checked. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { at } from "./render.js";

/** Kinds of the Prometheus operator, whose schemas are not ours to keep. */
const unchecked = ["ServiceMonitor", "PrometheusRule"];

/** What the API server would refuse, one sentence each. */
export function schemaProblems(documents: readonly unknown[]): readonly string[] {
  return documents.flatMap((document) => {
    const kind = String(at(document, "kind"));
    if (unchecked.includes(kind)) return [];
    const name = at(schemas, "kinds", `${String(at(document, "apiVersion"))} ${kind}`);
    if (typeof name !== "string") return [`no schema for ${kind}`];
    const validate = call(ajv, "getSchema", `kubernetes#/definitions/${name}`);
    if (typeof validate !== "function") return [`no schema ${name}`];
    if (Reflect.apply(validate, undefined, [document]) === true) return [];
    return [`${kind}: ${JSON.stringify(at(validate, "errors"))}`];
  });
}

const schemas: unknown = JSON.parse(
  readFileSync(join(import.meta.dirname, "schemas.json"), "utf8"),
);
const ajv = openAjv();

function openAjv(): unknown {
  const Ajv: unknown = createRequire(import.meta.url)("ajv");
  if (typeof Ajv !== "function") throw new Error("ajv is not a constructor");
  const opened: unknown = Reflect.construct(Ajv, [{ jsonPointers: true }]);
  call(opened, "addSchema", { $id: "kubernetes", definitions: at(schemas, "definitions") });
  return opened;
}

function call(object: unknown, method: string, ...args: readonly unknown[]): unknown {
  const found: unknown =
    typeof object === "object" && object !== null ? Reflect.get(object, method) : undefined;
  if (typeof found !== "function") throw new Error(`there is no ${method}`);
  return Reflect.apply(found, object, args);
}
