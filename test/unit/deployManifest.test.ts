import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

import { defaultHttpPort, defaultPort, readEnvironment } from "../../src/process/environment.js";
import { readToolchain } from "../../src/process/toolchain.js";

// What a cluster would only say at run time: names that nothing bears, a claim that is missing, a
// container that the "restricted" level refuses. The schema itself is not checked here.

const text = readFileSync(
  join(import.meta.dirname, "../../deploy/kubernetes/bitfleet.yaml"),
  "utf8",
);
const documents = parse(text);
const workloads = documents.filter((it) => at(it, "spec", "template") !== undefined);
const pods = workloads.map((it) => ({
  name: String(at(it, "metadata", "name")),
  spec: at(it, "spec", "template", "spec"),
  labels: at(it, "spec", "template", "metadata", "labels"),
  workload: it,
}));
const containers = pods.flatMap((pod) =>
  list(at(pod.spec, "containers")).map((container) => ({ pod, container })),
);

test("there are NATS, a coordinator and workers", () => {
  expect(pods.map(({ name }) => name)).toEqual([
    "bitfleet-nats",
    "bitfleet-coordinator",
    "bitfleet-worker",
  ]);
});

test.each(pods)("the pods of $name pass the level restricted", ({ spec }) => {
  expect(at(spec, "securityContext", "runAsNonRoot")).toBe(true);
  expect(at(spec, "securityContext", "seccompProfile", "type")).toBe("RuntimeDefault");
  expect(at(spec, "automountServiceAccountToken")).toBe(false);
  for (const container of list(at(spec, "containers"))) {
    expect(at(container, "securityContext")).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
  }
});

test.each(pods)("every label and volume that $name names is there", (pod) => {
  expect(at(pod.labels, "app.kubernetes.io/name")).toBe(pod.name);
  expect(at(pod.workload, "spec", "selector", "matchLabels")).toEqual({
    "app.kubernetes.io/name": pod.name,
  });
  const claims = list(at(pod.workload, "spec", "volumeClaimTemplates"));
  const volumes = [
    ...list(at(pod.spec, "volumes")).map((volume) => at(volume, "name")),
    ...claims.map((claim) => at(claim, "metadata", "name")),
  ];
  for (const container of list(at(pod.spec, "containers"))) {
    const mounts = list(at(container, "volumeMounts")).map((mount) => at(mount, "name"));
    expect([...mounts].sort()).toEqual([...volumes].sort());
  }
});

test("every claim, config map and secret key that a pod uses exists", () => {
  const named = (kind: string) =>
    documents.filter((it) => at(it, "kind") === kind).map((it) => at(it, "metadata", "name"));
  const volumes = pods.flatMap(({ spec }) => list(at(spec, "volumes")));
  const used = (...path: string[]) =>
    volumes.map((volume) => at(volume, ...path)).filter((name) => name !== undefined);
  expect(new Set(used("persistentVolumeClaim", "claimName"))).toEqual(
    new Set(named("PersistentVolumeClaim")),
  );
  expect(used("configMap", "name")).toEqual(named("ConfigMap"));

  // The secret is made by the command in the file's head; it is none of the documents.
  expect(text).toContain("kubectl create secret generic bitfleet ");
  const created = [...text.matchAll(/--from-literal=([a-z-]+)=/g)].map((match) => match[1]);
  const keys = [
    ...volumes.flatMap((volume) => list(at(volume, "secret", "items"))),
    ...containers.flatMap(({ container }) =>
      list(at(container, "env")).map((variable) => at(variable, "valueFrom", "secretKeyRef")),
    ),
  ].map((reference) => at(reference, "key"));
  expect(new Set(keys.filter((key) => key !== undefined))).toEqual(new Set(created));
});

test("every service leads to a port of a pod", () => {
  const services = documents.filter((it) => at(it, "kind") === "Service");
  for (const service of services) {
    const selected = pods.filter(
      ({ labels }) =>
        at(labels, "app.kubernetes.io/name") ===
        at(service, "spec", "selector", "app.kubernetes.io/name"),
    );
    expect(selected).toHaveLength(1);
    const open = list(at(selected[0]?.spec, "containers")).flatMap((container) =>
      list(at(container, "ports")),
    );
    for (const port of list(at(service, "spec", "ports"))) {
      expect(open).toContainEqual({
        name: at(port, "targetPort"),
        containerPort: at(port, "port"),
      });
    }
  }
  const sets = workloads.filter((it) => at(it, "kind") === "StatefulSet");
  for (const set of sets) {
    expect(services.map((it) => at(it, "metadata", "name"))).toContain(
      at(set, "spec", "serviceName"),
    );
  }
});

test("coordinator and worker read their variables, and find each other and NATS", () => {
  const [coordinator, worker] = ["coordinator", "worker"].map((name) => {
    const found = containers.find(({ container }) => at(container, "name") === name)?.container;
    const environment = new Map<string, string>();
    for (const variable of list(at(found, "env"))) {
      const value = at(variable, "value");
      const text = typeof value === "string" ? value : "t0ken-of-ten";
      const whole = text.replace(
        /\$\((\w+)\)/g,
        (_, other: string) => environment.get(other) ?? "",
      );
      environment.set(String(at(variable, "name")), whole);
    }
    const args = list(at(found, "args")).map(String);
    return { environment: readEnvironment(Object.fromEntries(environment)), args };
  });
  expect(coordinator?.environment.nats).toEqual({
    url: "nats://bitfleet-nats:4222",
    token: "t0ken-of-ten",
  });
  expect(worker?.environment.nats).toBeUndefined();
  expect(worker?.environment.store).toBe(coordinator?.environment.store);
  expect(worker?.args).toContain(`bitfleet-coordinator:${defaultPort}`);
  const ports = containers.flatMap(({ container }) => list(at(container, "ports")));
  for (const port of [defaultPort, defaultHttpPort]) {
    expect(ports.map((it) => at(it, "containerPort"))).toContain(port);
  }
});

test("the NATS server accepts the configuration, and takes its token from the secret", () => {
  const config = documents.find((it) => at(it, "kind") === "ConfigMap");
  const folder = mkdtempSync(join(tmpdir(), "bitfleet-nats-config-"));
  try {
    const file = join(folder, "nats.conf");
    writeFileSync(file, String(at(config, "data", "nats.conf")));
    const check = (env: Record<string, string>) =>
      execFileSync(readToolchain().natsServer, ["-t", "-c", file], { env, stdio: "pipe" });
    expect(() => check({ NATS_TOKEN: "n0123456789abcdef" })).not.toThrow();
    expect(() => check({})).toThrow(/NATS_TOKEN/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** The value at the end of a path of keys, or undefined where the path leaves the document. */
function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (found, key) =>
      typeof found === "object" && found !== null && key in found
        ? Object.entries(found).find(([name]) => name === key)?.[1]
        : undefined,
    value,
  );
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function parse(yaml: string): readonly unknown[] {
  const module: unknown = createRequire(import.meta.url)("js-yaml");
  const loadAll = at(module, "loadAll");
  if (typeof loadAll !== "function") throw new Error("js-yaml has no loadAll");
  const loaded: unknown = Reflect.apply(loadAll, undefined, [yaml]);
  return list(loaded);
}
