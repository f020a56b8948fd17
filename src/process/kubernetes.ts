/** Just what is needed of the Kubernetes API: the scale of a StatefulSet, by the pod's service account or a kubeconfig. */
import { existsSync, readFileSync } from "node:fs";
import { request } from "node:https";
import { dirname, join, resolve } from "node:path";

import { load } from "js-yaml";

import { cut } from "../job/cutText.js";
import { ConfigError, FailureError, reasonOf } from "../job/problem.js";
import type { Variables } from "./variables.js";

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

const podAccount = "the pod's service account";
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
      who: podAccount,
      token: contentOf(tokenFile).trim(),
      ca: contentOf(join(folder, "ca.crt")),
      ...{ cert: undefined, key: undefined },
    };
  }
  const config = variables["KUBECONFIG"] ?? "";
  return config === "" ? undefined : fromConfig(resolve(config));
}

export interface StatefulSetName {
  readonly name: string;
  readonly namespace: string;
}

/** Sets how many pods the StatefulSet has. FailureError: a sentence that says what stands in the way. */
export async function scaleStatefulSet(
  access: KubernetesAccess,
  { replicas, ...set }: StatefulSetName & { readonly replicas: number },
): Promise<void> {
  const answer = await ask(access, set, JSON.stringify({ spec: { replicas } }));
  if (answer.status !== 200) throw refusal(access, set, answer);
}

/** How many pods the StatefulSet is to have. FailureError as above. */
export async function scaleOfStatefulSet(
  access: KubernetesAccess,
  set: StatefulSetName,
): Promise<number> {
  const answer = await ask(access, set, undefined);
  if (answer.status !== 200) throw refusal(access, set, answer);
  const spec = at(json(answer.text), "spec");
  // The API leaves a zero out.
  const replicas = at(spec, "replicas") ?? (spec === undefined ? undefined : 0);
  if (typeof replicas === "number" && Number.isInteger(replicas) && replicas >= 0) return replicas;
  throw new FailureError(`${access.server} answered with no number of replicas`);
}

function refusal(
  access: KubernetesAccess,
  { name, namespace }: StatefulSetName,
  { status, text }: Answer,
): FailureError {
  const what = `statefulset ${name} in namespace ${namespace}`;
  if (status === 403) {
    const hint = access.who === podAccount ? " (the chart's scaleRole: true gives it)" : "";
    return new FailureError(
      `${access.who} may not scale ${what}: it lacks a role with "get" and "patch" on statefulsets/scale${hint}`,
    );
  }
  if (status === 404) return new FailureError(`there is no ${what}`);
  if (status === 401)
    return new FailureError(`${access.server} does not know the token of ${access.who}`);
  const message = cut(text, 300);
  return new FailureError(`${access.server} refused to scale ${what} (${status}): ${message}`);
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Reads the scale, or patches it with `body`. */

function ask(
  { server, token, ca, cert, key }: KubernetesAccess,
  { name, namespace }: StatefulSetName,
  body: string | undefined,
): Promise<Answer> {
  const path = `/apis/apps/v1/namespaces/${namespace}/statefulsets/${name}/scale`;
  return new Promise((done, fail) => {
    const sent = request(
      new URL(path, server),
      {
        method: body === undefined ? "GET" : "PATCH",
        timeout: answerMs,
        signal: AbortSignal.timeout(answerMs),
        ...{ ca, cert, key },
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/merge-patch+json" }),
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
        response.on("end", () => done({ status: response.statusCode ?? 0, text }));
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
    const why = reasonOf(error);
    throw new ConfigError(`cannot read ${path}: ${why}`);
  }
}
