/** What a rendered chart must keep to, each rule as the sentences that say where it is broken. */
import { at, containersOf, list, podsOf } from "./render.js";

const volumeKinds = ["configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected"];

/** The level "restricted" of Kubernetes' Pod Security Standards, and a read-only root on top. */
export function unrestricted(documents: readonly unknown[]): readonly string[] {
  return podsOf(documents).flatMap((pod) => {
    const spec = at(pod, "spec");
    const name = String(at(containersOf(pod)[0], "name"));
    const problems: string[] = [];
    const must = (holds: boolean, what: string): void => {
      if (!holds) problems.push(`${name}: ${what}`);
    };
    for (const key of ["hostNetwork", "hostPID", "hostIPC"])
      must(at(spec, key) !== true, `${key} is true`);
    must(at(spec, "securityContext", "runAsNonRoot") === true, "may run as root");
    must(at(spec, "securityContext", "runAsUser") !== 0, "runs as root");
    must(
      at(spec, "securityContext", "seccompProfile", "type") === "RuntimeDefault",
      "has no seccomp profile",
    );
    for (const volume of list(at(spec, "volumes"))) {
      const kinds = Object.keys(typeof volume === "object" && volume !== null ? volume : {});
      must(
        kinds.every((kind) => kind === "name" || volumeKinds.includes(kind)),
        `has a volume of ${kinds.join(", ")}`,
      );
    }
    for (const container of containersOf(pod)) {
      const security = at(container, "securityContext");
      must(at(security, "allowPrivilegeEscalation") === false, "may gain privileges");
      must(at(security, "privileged") !== true, "is privileged");
      must(at(security, "readOnlyRootFilesystem") === true, "may write to its image");
      must(list(at(security, "capabilities", "drop")).includes("ALL"), "keeps capabilities");
      must(list(at(security, "capabilities", "add")).length === 0, "adds capabilities");
      for (const port of list(at(container, "ports")))
        must(at(port, "hostPort") === undefined, "takes a port of its host");
    }
    return problems;
  });
}

/** Names that nothing bears: labels, ports, volumes, service accounts. */
export function dangling(documents: readonly unknown[]): readonly string[] {
  const pods = podsOf(documents);
  const kinds = (kind: string): readonly unknown[] =>
    documents.filter((document) => at(document, "kind") === kind);
  const names = (kind: string): readonly unknown[] =>
    kinds(kind).map((document) => at(document, "metadata", "name"));
  const problems: string[] = [];
  const selected = (labels: unknown): readonly unknown[] =>
    pods.filter((pod) => matches(labels, at(pod, "metadata", "labels")));

  for (const service of kinds("Service")) {
    const open = selected(at(service, "spec", "selector")).flatMap(containersOf);
    const ports = open.flatMap((one) => list(at(one, "ports")).map((port) => at(port, "name")));
    for (const port of list(at(service, "spec", "ports")))
      if (!ports.includes(at(port, "targetPort")))
        problems.push(`no pod has the port ${String(at(port, "targetPort"))} of a service`);
  }
  for (const kind of ["Deployment", "StatefulSet", "PodDisruptionBudget"])
    for (const document of kinds(kind)) {
      const found = selected(at(document, "spec", "selector", "matchLabels"));
      const template = at(document, "spec", "template");
      if (found.length !== 1 || (template !== undefined && found[0] !== template))
        problems.push(`a ${kind} selects ${found.length} kinds of pods`);
    }
  for (const set of kinds("StatefulSet"))
    if (!names("Service").includes(at(set, "spec", "serviceName")))
      problems.push(`no service ${String(at(set, "spec", "serviceName"))}`);
  for (const policy of kinds("NetworkPolicy"))
    if (selected(at(policy, "spec", "podSelector", "matchLabels")).length === 0)
      problems.push("a network policy selects no pod");
  for (const pod of pods) {
    const account = at(pod, "spec", "serviceAccountName");
    if (account !== undefined && !names("ServiceAccount").includes(account))
      problems.push(`no service account ${JSON.stringify(account)}`);
    const volumes = list(at(pod, "spec", "volumes")).map((volume) => at(volume, "name"));
    const claims = documents.flatMap((document) =>
      at(document, "spec", "template") === pod
        ? list(at(document, "spec", "volumeClaimTemplates"))
        : [],
    );
    volumes.push(...claims.map((claim) => at(claim, "metadata", "name")));
    for (const container of containersOf(pod)) {
      for (const mount of list(at(container, "volumeMounts")))
        if (!volumes.includes(at(mount, "name")))
          problems.push(`no volume ${String(at(mount, "name"))}`);
      const ports = list(at(container, "ports")).map((port) => at(port, "name"));
      for (const probe of ["startupProbe", "readinessProbe", "livenessProbe"]) {
        const port = at(container, probe, "httpGet", "port");
        if (port !== undefined && !ports.includes(port))
          problems.push(`no port ${JSON.stringify(port)} for ${probe}`);
      }
    }
  }
  return problems;
}

function matches(selector: unknown, labels: unknown): boolean {
  return (
    typeof selector === "object" &&
    selector !== null &&
    Object.entries(selector).every(([key, value]) => at(labels, key) === value)
  );
}
