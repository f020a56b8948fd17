import type { EndpointSlice, Metadata } from "../objects.js";

/**
 * What a pod of `namespace` finds in /etc/hosts in place of a cluster's DNS: each service's names at
 * the addresses of its ready pods, since nothing routes a service's own address; and each pod
 * of a headless service by its host name.
 */
export function hostsFile(
  namespace: string,
  own: { readonly podIP: string; readonly hostname: string },
  slices: Iterable<EndpointSlice>,
): string {
  const lines = ["127.0.0.1 localhost", `${own.podIP} ${own.hostname}`];
  lines.push(
    "127.0.0.1 kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local",
  );
  for (const { metadata, endpoints } of slices) {
    const service = serviceOf(metadata);
    if (service === undefined || (service === "kubernetes" && metadata.namespace === "default"))
      continue;
    const names = namesOf(service, metadata.namespace, namespace);
    for (const { addresses, conditions, hostname } of endpoints ?? []) {
      if (conditions.ready === false) continue;
      const all =
        hostname === undefined ? names : [...names, ...names.map((name) => `${hostname}.${name}`)];
      for (const address of addresses) lines.push(`${realAddress(address)} ${all.join(" ")}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** Endpoints may not be loopback addresses, so the API is told 10.1.x.y of a pod at 127.1.x.y. */
export function toldAddress(podIP: string): string {
  return podIP.replace(/^127\./, "10.");
}

function realAddress(told: string): string {
  return told.replace(/^10\./, "127.");
}

function serviceOf({ labels }: Metadata): string | undefined {
  return labels?.["kubernetes.io/service-name"];
}

function namesOf(service: string, home: string, seenFrom: string): readonly string[] {
  const full = [
    `${service}.${home}`,
    `${service}.${home}.svc`,
    `${service}.${home}.svc.cluster.local`,
  ];
  return home === seenFrom ? [service, ...full] : full;
}
