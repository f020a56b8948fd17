/** Just what is needed of the Kubernetes API: the scale of a StatefulSet, by the pod's service account or a kubeconfig. */
import { existsSync, readFileSync } from "node:fs";
import { request } from "node:https";
import { dirname, join, resolve } from "node:path";

import { load } from "js-yaml";

import { ConfigError, FailureError } from "../job/problem.js";
import type { Variables } from "./environment.js";

export interface KubernetesAccess {
  readonly server: string;
  readonly namespace: string;
  /** For people: whose right it is that may lack. */
  readonly who: string;
  readonly token: string | undefined;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

const answerMs = 10_000;
const answerBytesMax = 1_000_000;

/** The service account of the pod goes first; undefined where there is neither it nor a kubeconfig. */
export function kubernetesAccess(variables: Variables): KubernetesAccess | undefined {
  const folder =
    variables["BITFLEET_SERVICE_ACCOUNT"] ?? "/var/run/secrets/kubernetes.io/serviceaccount";
  const host = variables["KUBERNETES_SERVICE_HOST"] ?? "";
  const tokenFile = join(folder, "token");
  if (host !== "" && existsSync(tokenFile)) {
    const port = variables["KUBERNETES_SERVICE_PORT"] ?? "443";
    return {
      server: `https://${host.includes(":") ? `[${host}]` : host}:${port}`,
      namespace: contentOf(join(folder, "namespace")).trim(),
      who: "the pod's service account",
      token: contentOf(tokenFile).trim(),
      ca: contentOf(join(folder, "ca.crt")),
      ...{ cert: undefined, key: undefined },
    };
  }
  const config = variables["KUBECONFIG"] ?? "";
  return config === "" ? undefined : fromConfig(resolve(config));
}

/** Sets how many pods the StatefulSet has. FailureError: a sentence that says what stands in the way. */
export async function scaleStatefulSet(
  access: KubernetesAccess,
  { name, namespace, replicas }: { name: string; namespace: string; replicas: number },
): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${namespace}/statefulsets/${name}/scale`;
  const { status, message } = await ask(access, path, JSON.stringify({ spec: { replicas } }));
  if (status === 200) return;
  const what = `statefulset ${name} in namespace ${namespace}`;
  if (status === 403) {
    throw new FailureError(
      `${access.who} may not scale ${what}: it lacks a role with "patch" on statefulsets/scale (the chart's scaleRole: true gives it)`,
    );
  }
  if (status === 404) throw new FailureError(`there is no ${what}`);
  if (status === 401)
    throw new FailureError(`${access.server} does not know the token of ${access.who}`);
  throw new FailureError(`${access.server} refused to scale ${what} (${status}): ${message}`);
}

function ask(
  { server, token, ca, cert, key }: KubernetesAccess,
  path: string,
  body: string,
): Promise<{ readonly status: number; readonly message: string }> {
  return new Promise((done, fail) => {
    const sent = request(
      new URL(path, server),
      {
        method: "PATCH",
        timeout: answerMs,
        signal: AbortSignal.timeout(answerMs),
        ...{ ca, cert, key },
        headers: {
          "content-type": "application/merge-patch+json",
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
      },
      (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => {
          text += part;
          if (text.length > answerBytesMax) response.destroy(new Error("the answer is too long"));
        });
        response.on("error", reject);
        response.on("end", () =>
          done({ status: response.statusCode ?? 0, message: text.slice(0, 300) }),
        );
      },
    );
    const reject = (error: Error): void =>
      fail(new FailureError(`cannot reach Kubernetes at ${server}: ${error.message}`));
    sent.on("error", reject);
    sent.end(body);
  });
}

function fromConfig(path: string): KubernetesAccess {
  const config = parsed(path);
  const context = named(config, "contexts", String(at(config, "current-context")), "context");
  const cluster = named(config, "clusters", String(at(context, "cluster")), "cluster");
  const user = named(config, "users", String(at(context, "user")), "user");
  const server = at(cluster, "server");
  if (typeof server !== "string" || !server.startsWith("https://"))
    throw new ConfigError(
      `KUBECONFIG: ${path} must name an https:// server of its current context`,
    );
  const given = (of: unknown, name: string): string | undefined => {
    const data = at(of, `${name}-data`);
    if (typeof data === "string") return Buffer.from(data, "base64").toString();
    const file = at(of, name);
    return typeof file === "string" ? contentOf(resolve(dirname(path), file)) : undefined;
  };
  const token = at(user, "token");
  const namespace = at(context, "namespace");
  return {
    server,
    namespace: typeof namespace === "string" ? namespace : "default",
    who: `the user of ${path}`,
    token: typeof token === "string" ? token : undefined,
    ca: given(cluster, "certificate-authority"),
    cert: given(user, "client-certificate"),
    key: given(user, "client-key"),
  };
}

function parsed(path: string): unknown {
  const text = contentOf(path);
  try {
    return load(text);
  } catch {
    throw new ConfigError(`KUBECONFIG: ${path} is no YAML`);
  }
}

function named(config: unknown, list: string, name: string, field: string): unknown {
  const all = at(config, list);
  const found: unknown = Array.isArray(all)
    ? all.find((one: unknown) => at(one, "name") === name)
    : undefined;
  return at(found, field);
}

function at(value: unknown, key: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return Object.entries(value).find(([name]) => name === key)?.[1];
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError(`cannot read ${path}: ${why}`);
  }
}
