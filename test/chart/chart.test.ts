import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { installHelm } from "../../deploy/setup/helm.mjs";
import { Authority } from "../../src/cli/authority.js";
import { authorization } from "../../src/link/natsRights.js";
import { readToolchain } from "../../src/process/toolchain.js";
import { inDays, PemFolder } from "../support/pemFolder.js";
import {
  at,
  chartFolder,
  containersOf,
  list,
  parseYaml,
  podsOf,
  render,
  type Values,
} from "./render.js";
import { dangling, unrestricted } from "./rules.js";
import { schemaProblems } from "./schema.js";

const helm = (await installHelm(process.env, () => undefined)) ?? "";

const tls = {
  coordinatorSecret: "tls-coordinator",
  workerSecret: "tls-worker",
  clientSecret: "tls-client",
  natsSecret: "tls-nats",
};
const everything: Values = {
  image: { digest: `sha256:${"ab".repeat(32)}` },
  imagePullSecrets: [{ name: "registry" }],
  podLabels: { team: "vision" },
  listenOn: "$(POD_IP)",
  coordinator: { replicas: 2, protect: true, priorityClassName: "high" },
  workers: {
    gpu: 1,
    probes: true,
    maxUnavailable: "10%",
    runtimeClassName: "nvidia",
    labels: { "kueue.x-k8s.io/queue-name": "gpus" },
    nodeSelector: { "nvidia.com/gpu.product": "H200" },
    tolerations: [{ key: "spot", operator: "Exists" }],
    extraEnv: [{ name: "ONEDNN_MAX_CPU_ISA", value: "AVX2" }],
    extraVolumes: [{ name: "more", emptyDir: {} }],
    extraVolumeMounts: [{ name: "more", mountPath: "/more" }],
  },
  autoscale: { enabled: true, min: 0, max: 4 },
  nats: { protect: true, storage: { storageClass: "fast" } },
  tls,
  networkPolicy: { metrics: [{ namespaceSelector: {} }], extraEgress: [{ to: [] }] },
  metrics: {
    serviceMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    grafanaDashboard: { enabled: true },
  },
};
const variants: Readonly<Record<string, Values>> = {
  "as it comes": {},
  "on CPUs": { workers: { gpu: 0, probes: true } },
  "everything chosen": everything,
  "in a bucket": {
    store: {
      s3: { url: "s3://models/fleet", endpoint: "http://minio:9000", existingSecret: "s3" },
    },
    data: { enabled: false },
  },
  "with another NATS": {
    nats: {
      enabled: false,
      external: { url: "tls://nats.infra:4222", user: "c", workerUser: "w" },
    },
    tls: { natsSecret: "tls-nats" },
  },
  "with secrets and volumes of one's own": {
    auth: { existingSecret: "mine" },
    store: { existingClaim: "models" },
    data: { existingClaim: "pictures" },
    scaleRole: true,
    networkPolicy: { enabled: false },
  },
};

describe.skipIf(helm === "")("the chart", () => {
  const rendered = Object.entries(variants).map(([name, values]) => ({
    name,
    documents: helm === "" ? [] : render(helm, values),
  }));

  test.each(rendered)("$name: the API server's schemas accept it", ({ documents }) => {
    expect(documents.length).toBeGreaterThan(10);
    expect(schemaProblems(documents)).toEqual([]);
  });

  test.each(rendered)("$name: its pods pass the level restricted", ({ documents }) => {
    expect(podsOf(documents).length).toBeGreaterThanOrEqual(3);
    expect(unrestricted(documents)).toEqual([]);
  });

  test.each(rendered)("$name: every name that it uses is there", ({ documents }) => {
    expect(dangling(documents)).toEqual([]);
  });

  test.each(rendered)("$name: its own variables are ones that Bitfleet reads", ({ documents }) => {
    const source = [
      "process/environment.ts",
      "process/natsSettings.ts",
      "process/scalingTarget.ts",
      "process/cacheSetting.ts",
      "cli/connection.ts",
      "store/s3Address.ts",
    ]
      .map((file) => readFileSync(join(import.meta.dirname, "../../src", file), "utf8"))
      .join("\n");
    const used = podsOf(documents)
      .flatMap(containersOf)
      .filter((container) => at(container, "name") !== "nats")
      .flatMap((container) => list(at(container, "env")).map((one) => String(at(one, "name"))))
      .filter((name) => /^(BITFLEET|NATS)_/.test(name));
    const read = (name: string): boolean => source.includes(`"${name}"`) || built.has(name);
    expect([...new Set(used)].filter((name) => !read(name))).toEqual([]);
  });

  test("no token or password is outside of the secret", () => {
    for (const { documents } of rendered) {
      const secrets = documents.filter((document) => at(document, "kind") === "Secret");
      const others = JSON.stringify(documents.filter((one) => at(one, "kind") !== "Secret"));
      for (const [key, value] of Object.entries(asObject(at(secrets[0], "data")))) {
        const plain = Buffer.from(String(value), "base64").toString();
        expect(plain.length, key).toBeGreaterThan(40);
        expect(others).not.toContain(plain);
      }
    }
  });

  test("the coordinator gets hashes of the tokens that are in the secret, and no token", () => {
    const documents = rendered[0]?.documents ?? [];
    const secret = documents.find((document) => at(document, "kind") === "Secret");
    const plain = (key: string): string =>
      Buffer.from(String(at(secret, "data", key)), "base64").toString();
    const tokens: unknown = JSON.parse(plain("tokens.json"));
    expect(tokens).toEqual({
      tokens: ["viewer", "submitter", "worker", "admin"].map((role) => ({
        name: role,
        role,
        sha256: createHash("sha256")
          .update(plain(`${role}-token`))
          .digest("hex"),
      })),
    });
    const keys = podsOf(documents).map((pod) => [
      at(containersOf(pod)[0], "name"),
      ...list(at(pod, "spec", "volumes"))
        .flatMap((volume) => list(at(volume, "secret", "items")))
        .map((item) => at(item, "key")),
    ]);
    expect(Object.fromEntries(keys)).toEqual({
      coordinator: "tokens.json",
      worker: "worker-token",
      nats: undefined,
      workers: "viewer-token",
    });
  });

  test("NATS gives each user what it needs and no more; only coordinator and server know passwords", () => {
    const file = readFileSync(join(chartFolder, "files/nats/authorization.conf"), "utf8");
    const coordinator = { user: "coordinator", secret: "$NATS_PASSWORD" };
    expect(file).toBe(
      authorization({ coordinator, worker: { user: "worker", secret: "$NATS_WORKER_PASSWORD" } }),
    );
    const lines = file.trimEnd().split("\n");
    const config = rendered[0]?.documents.find((one) => at(one, "kind") === "ConfigMap");
    expect(String(at(config, "data", "nats.conf")).split("\n")).toEqual(
      expect.arrayContaining(lines),
    );
    for (const { documents } of rendered)
      for (const pod of podsOf(documents)) {
        const [container] = containersOf(pod);
        const knows = /nats-(worker-)?password/.test(JSON.stringify(at(pod, "spec")));
        expect(knows).toBe(["coordinator", "nats"].includes(String(at(container, "name"))));
      }
  });

  test("with certificates everybody speaks TLS to NATS, and shows its own", () => {
    const env = (documents: readonly unknown[], name: string) =>
      podsOf(documents)
        .flatMap(containersOf)
        .filter((one) => ["coordinator", "worker"].includes(String(at(one, "name"))))
        .map((one) => list(at(one, "env")).find((variable) => at(variable, "name") === name))
        .map((variable) => at(variable, "value"));
    const [plain, , whole, , other] = rendered.map(({ documents }) => documents);
    const url = (documents: readonly unknown[] = []) => env(documents, "NATS_URL")[0];
    expect(url(plain)).toBe("nats://fleet-bitfleet-nats:4222");
    expect(url(whole)).toBe("tls://fleet-bitfleet-nats:4222");
    expect(url(other)).toBe("tls://nats.infra:4222");
    expect(env(plain ?? [], "NATS_CA_FILE")).toEqual([undefined, undefined]);
    for (const documents of [whole ?? [], other ?? []])
      expect(env(documents, "NATS_CA_FILE")).toEqual(Array(2).fill("/etc/bitfleet/nats/ca.crt"));
    expect(env(whole ?? [], "NATS_CERT_FILE")).toEqual(Array(2).fill("/etc/bitfleet/tls/tls.crt"));
    expect(env(other ?? [], "NATS_CERT_FILE")).toEqual([undefined, undefined]);
    const verify = (documents: readonly unknown[] = []): unknown =>
      /verify: (\w+)/.exec(
        documents.map((one) => String(at(one, "data", "nats.conf"))).join("\n"),
      )?.[1];
    expect([verify(plain), verify(whole)]).toEqual([undefined, "true"]);
  });

  test("the image is named by its digest where there is one, and by the device else", () => {
    const images = (documents: readonly unknown[]) => [
      ...new Set(
        podsOf(documents)
          .flatMap(containersOf)
          .map((one) => at(one, "image")),
      ),
    ];
    const [plain, cpu, whole] = rendered.map(({ documents }) => images(documents));
    expect(plain).toEqual(["bitfleet:0.1.0-cuda12"]);
    expect(cpu).toEqual(["bitfleet:0.1.0-cpu"]);
    expect(whole).toEqual([`bitfleet@sha256:${"ab".repeat(32)}`]);
  });

  test("a worker asks for its GPU, and is given more time to end than it takes", () => {
    const worker = (documents: readonly unknown[]) =>
      podsOf(documents).find((pod) => at(containersOf(pod)[0], "name") === "worker");
    const limits = rendered.map(({ documents }) =>
      at(containersOf(worker(documents))[0], "resources", "limits", "nvidia.com/gpu"),
    );
    expect(limits.slice(0, 2)).toEqual([1, undefined]);
    const pod = worker(rendered[0]?.documents ?? []);
    const grace = list(at(containersOf(pod)[0], "env")).find(
      (one) => at(one, "name") === "BITFLEET_GRACE_SECONDS",
    );
    expect(at(pod, "spec", "terminationGracePeriodSeconds")).toBeGreaterThan(
      Number(at(grace, "value")),
    );
  });

  test("with TLS coordinators are probed and scraped by HTTPS, Prometheus with a certificate", () => {
    const [plain, , secured] = rendered.map(({ documents }) => documents);
    const probes = (documents: readonly unknown[] = []): readonly unknown[] => {
      const pod = podsOf(documents).find(
        (one) => at(containersOf(one)[0], "name") === "coordinator",
      );
      return ["startupProbe", "readinessProbe", "livenessProbe"].map((probe) =>
        at(containersOf(pod)[0], probe, "httpGet", "scheme"),
      );
    };
    expect(probes(plain)).toEqual(["HTTP", "HTTP", "HTTP"]);
    expect(probes(secured)).toEqual(["HTTPS", "HTTPS", "HTTPS"]);
    const monitors = (secured ?? []).filter((one) => at(one, "kind") === "ServiceMonitor");
    const endpoints = monitors.map((one) => list(at(one, "spec", "endpoints"))[0]);
    expect(endpoints.map((one) => at(one, "scheme"))).toEqual(["https", undefined]);
    const secret = (key: string) => ({ name: "tls-client", key });
    expect(at(endpoints[0], "tlsConfig")).toEqual({
      serverName: "fleet-bitfleet-coordinator",
      ca: { secret: secret("ca.crt") },
      cert: { secret: secret("tls.crt") },
      keySecret: secret("tls.key"),
    });
  });

  test("the right to scale is one resource by name, and is there only where it was asked for", () => {
    const roles = rendered.map(({ documents }) =>
      documents.filter((document) => at(document, "kind") === "Role"),
    );
    expect(roles.map((found) => found.length)).toEqual([0, 0, 1, 0, 0, 1]);
    expect(at(roles[2]?.[0], "rules")).toEqual([
      {
        apiGroups: ["apps"],
        resources: ["statefulsets/scale"],
        resourceNames: ["fleet-bitfleet-worker"],
        verbs: ["get", "patch"],
      },
    ]);
    const mounted = rendered.map(({ documents }) =>
      podsOf(documents).filter((pod) => at(pod, "spec", "automountServiceAccountToken") !== false),
    );
    expect(mounted.map((found) => found.length)).toEqual([0, 0, 1, 0, 0, 1]);
  });

  test.each(["0.0.0.0", "127.1.2.3"])("nats-server accepts its configuration on %s", (host) => {
    const config = rendered[0]?.documents.find((one) => at(one, "kind") === "ConfigMap");
    const folder = mkdtempSync(join(tmpdir(), "bitfleet-nats-config-"));
    try {
      const file = join(folder, "nats.conf");
      writeFileSync(file, String(at(config, "data", "nats.conf")));
      const check = (env: Record<string, string>) =>
        execFileSync(readToolchain().natsServer, ["-t", "-c", file], { env, stdio: "pipe" });
      const address = { LISTEN_ON: host, MONITOR: `${host}:8222` };
      const passwords = { NATS_PASSWORD: "n0123456789abcdef", NATS_WORKER_PASSWORD: "n1" };
      expect(() => check({ ...address, ...passwords })).not.toThrow();
      expect(() => check({ ...address, NATS_PASSWORD: "n1" })).toThrow(/NATS_WORKER_PASSWORD/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("nats-server accepts the chart's TLS", async () => {
    const config = rendered[2]?.documents.find((one) => at(one, "data", "nats.conf") !== undefined);
    const pems = new PemFolder();
    try {
      const authority = await Authority.make("a CA", inDays(9));
      pems.put("ca", authority.pem);
      const server = { name: "nats", hosts: ["fleet-bitfleet-nats"], notAfter: inDays(9) };
      pems.put("tls", await authority.issue(server));
      const file = join(pems.folder, "nats.conf");
      const text = String(at(config, "data", "nats.conf"))
        .replaceAll("/etc/nats/tls/tls.crt", join(pems.folder, "tls.pem"))
        .replaceAll("/etc/nats/tls/ca.crt", join(pems.folder, "ca.pem"))
        .replaceAll("/etc/nats/tls", pems.folder);
      writeFileSync(file, text);
      expect(text).toContain(`key_file: ${pems.folder}/tls.key`);
      const env = { LISTEN_ON: "127.0.0.1", MONITOR: "127.0.0.1:8222" };
      execFileSync(readToolchain().natsServer, ["-t", "-c", file], {
        env: { ...env, NATS_PASSWORD: "n1", NATS_WORKER_PASSWORD: "n2" },
        stdio: "pipe",
      });
    } finally {
      pems.remove();
    }
  });

  test("the example of a HorizontalPodAutoscaler scales what the chart names", () => {
    const file = join(chartFolder, "../../examples/hpa.yaml");
    const example = parseYaml(readFileSync(file, "utf8"));
    expect(schemaProblems(example)).toEqual([]);
    expect(
      (rendered[0]?.documents ?? []).map((one) => [at(one, "kind"), at(one, "metadata", "name")]),
    ).toContainEqual(["kind", "name"].map((key) => at(example[0], "spec", "scaleTargetRef", key)));
  });

  test.each<Values>([
    { wrokers: {} },
    { workers: { gpu: 2 } },
    { workers: { replicas: -1 } },
    { image: { digest: "sha256:12" } },
    { tls: { ...tls, clientSecret: "" } },
    { nats: { enabled: false } },
    { store: { size: "much" } },
    { store: { s3: { url: "https://bucket" } } },
    { coordinator: { replicas: 3 } },
  ])("values that cannot work are refused: %j", (values) => {
    expect(() => render(helm, values)).toThrow(/values don't meet the specifications/);
  });

  test("each check finds what breaks it", () => {
    const broken = (change: (text: string) => string): readonly unknown[] =>
      list(JSON.parse(change(JSON.stringify(rendered[1]?.documents))));
    const cases: readonly [(documents: readonly unknown[]) => readonly string[], RegExp, string][] =
      [
        [unrestricted, /"runAsNonRoot":true/g, '"runAsNonRoot":false'],
        [unrestricted, /"drop":\["ALL"\]/, '"drop":[]'],
        [unrestricted, /"readOnlyRootFilesystem":true/, '"readOnlyRootFilesystem":false'],
        [unrestricted, /"allowPrivilegeEscalation":false/, '"allowPrivilegeEscalation":true'],
        [unrestricted, /"type":"RuntimeDefault"/, '"type":"Unconfined"'],
        [unrestricted, /"emptyDir":/, '"hostPath":'],
        [dangling, /"targetPort":"grpc"/, '"targetPort":"gprc"'],
        [dangling, /"httpGet":\{"path":"\/healthz","port":"http"/, '"httpGet":{"port":"htpt"'],
        [
          dangling,
          /"mountPath":"\/store","name":"store"|"name":"store","mountPath"/,
          '"name":"stor","mountPath"',
        ],
        [dangling, /"serviceAccountName":"fleet-/, '"serviceAccountName":"feelt-'],
        [
          schemaProblems,
          /"terminationGracePeriodSeconds":\d+/,
          '"terminationGracePeriodSeconds":"1"',
        ],
        [schemaProblems, /"replicas":/, '"replica":'],
        [schemaProblems, /"kind":"Role"|"kind":"PodDisruptionBudget"/, '"kind":"Rolle"'],
      ];
    for (const [check, from, to] of cases) {
      const documents = broken((text) => text.replace(from, to));
      expect(JSON.stringify(documents), String(from)).not.toBe(
        JSON.stringify(rendered[1]?.documents),
      );
      expect(check(documents), `${check.name}: ${to}`).not.toEqual([]);
    }
  });
});

/** Names that the source puts together of a prefix and a part. */
const built: ReadonlySet<string> = new Set([
  ...["NATS", "NATS_WORKER"].flatMap((prefix) => [`${prefix}_USER`, `${prefix}_PASSWORD_FILE`]),
  ...["CA", "CERT", "KEY"].map((part) => `NATS_${part}_FILE`),
]);

function asObject(value: unknown): object {
  return typeof value === "object" && value !== null ? value : {};
}
