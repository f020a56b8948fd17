import type { Container, EnvVar, Pod } from "../objects.js";

/** Where a container's variables come from: the pod as it is, and maps and secrets by name. */
export interface Sources {
  readonly pod: Pod;
  readonly podIP: string;
  /** Undefined: there is none of that name. */
  readonly configMap: (name: string) => Promise<ReadonlyMap<string, string> | undefined>;
  readonly secret: (name: string) => Promise<ReadonlyMap<string, string> | undefined>;
}

type Variables = Readonly<Record<string, string>>;

/** The variables that a container's `env` and `envFrom` add to `base`, in the order of the specification. */
export async function environmentOf(
  container: Container,
  base: Variables,
  sources: Sources,
): Promise<Record<string, string>> {
  const result: Record<string, string> = { ...base };
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    const map =
      configMapRef === undefined
        ? await sources.secret(secretRef?.name ?? "")
        : await sources.configMap(configMapRef.name);
    const optional = (configMapRef ?? secretRef)?.optional === true;
    if (map === undefined && !optional)
      throw new Error(
        `envFrom of ${container.name}: not found: ${JSON.stringify(configMapRef ?? secretRef)}`,
      );
    for (const [key, value] of map ?? []) result[`${prefix}${key}`] = value;
  }
  for (const variable of container.env ?? []) {
    const value = await valueOf(variable, container, sources, result);
    if (value !== undefined) result[variable.name] = value;
  }
  return result;
}

async function valueOf(
  variable: EnvVar,
  container: Container,
  sources: Sources,
  known: Variables,
): Promise<string | undefined> {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = variable.valueFrom ?? {};
  if (fieldRef !== undefined) return fieldOf(sources.pod, sources.podIP, fieldRef.fieldPath);
  if (resourceFieldRef !== undefined) return String(resourceOf(container, resourceFieldRef));
  const reference = configMapKeyRef ?? secretKeyRef;
  if (reference === undefined) return expand(variable.value ?? "", known);
  const read = configMapKeyRef === undefined ? sources.secret : sources.configMap;
  const value = (await read(reference.name))?.get(reference.key);
  if (value === undefined && reference.optional !== true)
    throw new Error(
      `${variable.name} of ${container.name}: no key ${reference.key} in ${reference.name}`,
    );
  return value;
}

/** `$(NAME)` stands for a variable named before, `$$` for a dollar; what is not known stays as it is. */
export function expand(text: string, known: Variables): string {
  return text.replaceAll(/\$\$|\$\(([^)]+)\)/g, (match, name: string | undefined) =>
    name === undefined ? "$" : (known[name] ?? match),
  );
}

/** A field of the pod by the path that the downward API takes. */
export function fieldOf(pod: Pod, podIP: string, path: string): string {
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path);
  if (keyed !== null) {
    const map = keyed[1] === "labels" ? pod.metadata.labels : pod.metadata.annotations;
    return map?.[keyed[2] ?? ""] ?? "";
  }
  const fields: Readonly<Record<string, string | undefined>> = {
    "metadata.name": pod.metadata.name,
    "metadata.namespace": pod.metadata.namespace,
    "metadata.uid": pod.metadata.uid,
    "spec.nodeName": pod.spec.nodeName,
    "spec.serviceAccountName": pod.spec.serviceAccountName,
    "status.podIP": podIP,
    "status.podIPs": podIP,
    "status.hostIP": "127.0.0.1",
  };
  const value = fields[path];
  if (value === undefined) throw new Error(`${pod.metadata.name} has no field ${path}`);
  return value;
}

function resourceOf(
  container: Container,
  { resource, divisor = "1" }: { readonly resource: string; readonly divisor?: string },
): number {
  const [kind, name] = resource.split(/\.(.*)/s);
  const amounts = kind === "limits" ? container.resources?.limits : container.resources?.requests;
  const amount = amounts?.[name ?? ""];
  if (amount === undefined) throw new Error(`${container.name} has no ${resource}`);
  return Math.ceil(quantity(amount) / (quantity(divisor) || 1));
}

const factors: Readonly<Record<string, number>> = {
  ...{ m: 1e-3, "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 },
  ...{ Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40 },
};

/** A quantity of Kubernetes (`500m`, `2Gi`) as a number. */
export function quantity(text: string): number {
  const [, number, suffix = ""] = /^([0-9.]+)([A-Za-z]*)$/.exec(text) ?? [];
  const factor = factors[suffix];
  if (number === undefined || factor === undefined) throw new Error(`${text} is no quantity`);
  return Number(number) * factor;
}
