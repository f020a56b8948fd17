import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { mustEnd } from "./command.js";
import { ControlPlane } from "./controlPlane.js";
import { installKubernetes } from "./install.mjs";
import { plainImage } from "./kubelet/images.js";
import { Kubelet } from "./kubelet/kubelet.js";

let plane: ControlPlane;
let kubelet: Kubelet;

beforeAll(async () => {
  plane = await ControlPlane.start(
    await installKubernetes(process.env, (line) => console.error(line)),
  );
  const nodes = [{ name: "node-1" }, { name: "node-2" }, { name: "gpu-1", gpus: 2 }];
  kubelet = await Kubelet.start(plane, nodes, new Map([["plain", plainImage()]]));
}, 900_000);

afterAll(async () => {
  await kubelet.stop();
  await plane.stop();
});

const restricted = {
  securityContext: {
    runAsNonRoot: true,
    runAsUser: 10001,
    runAsGroup: 10001,
    fsGroup: 10001,
    seccompProfile: { type: "RuntimeDefault" },
  },
};
const locked = {
  image: "plain",
  securityContext: {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ["ALL"] },
  },
};

async function apply(...items: readonly unknown[]): Promise<void> {
  const file = join(plane.folder, "objects.json");
  writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
  await mustEnd(plane.kubectl("apply", "-f", file));
}

function pod(name: string, container: object, more: object = {}): object {
  const spec = { ...restricted, containers: [{ name: "main", ...locked, ...container }], ...more };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, labels: { app: name } }, spec };
}

function wait(name: string, condition: string): Promise<string> {
  return mustEnd(plane.kubectl("wait", "pod", name, `--for=${condition}`, "--timeout=60s"));
}

test("a container finds its variables, files and rights as its pod describes them", async () => {
  const show = [
    'echo "$POD_IP|$FROM_SECRET|$BOTH|$CPU|$(hostname)|$(id -u):$(id -G)"',
    "cat /etc/app/one; cat /etc/own/two; echo; echo kept > /scratch/file; touch /outside",
    "test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token",
    "grep -c . /proc/self/mountinfo > /claim/mounts; grep CapBnd /proc/self/status",
  ];
  const claim = { accessModes: ["ReadWriteMany"], resources: { requests: { storage: "1Gi" } } };
  await apply(
    { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "app" }, data: { one: "1\n" } },
    { apiVersion: "v1", kind: "Secret", metadata: { name: "own" }, stringData: { two: "s3" } },
    { apiVersion: "v1", kind: "PersistentVolumeClaim", metadata: { name: "kept" }, spec: claim },
    pod(
      "shown",
      {
        command: ["sh", "-c", show.join("\n")],
        env: [
          { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
          { name: "FROM_SECRET", valueFrom: { secretKeyRef: { name: "own", key: "two" } } },
          { name: "BOTH", value: "<$(FROM_SECRET)>" },
          { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
        ],
        resources: { limits: { cpu: "1500m", "nvidia.com/gpu": "1" } },
        volumeMounts: [
          { name: "app", mountPath: "/etc/app" },
          { name: "own", mountPath: "/etc/own" },
          { name: "scratch", mountPath: "/scratch" },
          { name: "claim", mountPath: "/claim" },
        ],
      },
      {
        restartPolicy: "Never",
        volumes: [
          { name: "app", configMap: { name: "app" } },
          { name: "own", secret: { secretName: "own", defaultMode: 0o440 } },
          { name: "scratch", emptyDir: {} },
          { name: "claim", persistentVolumeClaim: { claimName: "kept" } },
        ],
      },
    ),
  );
  await wait("shown", "jsonpath={.status.phase}=Succeeded");
  const runner = kubelet.pod("shown");
  const log = runner?.container()?.log ?? "";
  expect(log).toContain(`${runner?.podIP}|s3|<s3>|2|shown|10001:10001\n`);
  expect(log).toMatch(/^127\.1\.3\./);
  expect(log).toContain("1\ns3\n");
  expect(log).toContain("touch: cannot touch '/outside': Read-only file system");
  expect(log).toContain("token\n");
  expect(log).toContain("CapBnd:\t0000000000000000");
});

test("a service's name leads to pods that are ready, and to no other", async () => {
  const serve = [
    "import http.server,os",
    "h=http.server.SimpleHTTPRequestHandler",
    "http.server.HTTPServer((os.environ['IP'],8080),h).serve_forever()",
  ];
  const address = { name: "IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } };
  const isThere = { exec: { command: ["test", "-e", "/scratch/ready"] }, periodSeconds: 1 };
  const ports = [{ port: 8080 }];
  const resolve = "while sleep 0.2; do getent ahostsv4 served | grep STREAM || echo none; done";
  await apply(
    {
      ...{ apiVersion: "v1", kind: "Service", metadata: { name: "served" } },
      spec: { selector: { app: "server" }, ports },
    },
    pod(
      "server",
      {
        command: ["python3", "-c", serve.join("\n")],
        workingDir: "/scratch",
        env: [address],
        volumeMounts: [{ name: "scratch", mountPath: "/scratch" }],
        startupProbe: {
          httpGet: { path: "/", port: 8080 },
          periodSeconds: 1,
          failureThreshold: 60,
        },
        readinessProbe: { ...isThere, failureThreshold: 1 },
      },
      { volumes: [{ name: "scratch", emptyDir: {} }] },
    ),
    pod("asking", { command: ["sh", "-c", resolve] }),
  );
  await wait("asking", "condition=Ready");
  const server = kubelet.pod("server");
  const inServer = async (...command: readonly string[]): Promise<void> => {
    const container = server?.container();
    if (container === undefined) throw new Error("the server has no container");
    await mustEnd(container.exec(command, 5000));
  };
  const asking = kubelet.pod("asking")?.container();
  const lines = (): readonly string[] => asking?.log.trim().split("\n") ?? [];
  await expect.poll(() => server?.container()?.started, { timeout: 60_000 }).toBe(true);
  expect(new Set(lines())).toEqual(new Set(["none"]));

  await inServer("touch", "/scratch/ready");
  await wait("server", "condition=Ready");
  await expect.poll(() => lines().at(-1), { timeout: 20_000 }).toContain(server?.podIP);
  await inServer("rm", "/scratch/ready");
  await expect.poll(() => lines().at(-1), { timeout: 20_000 }).toBe("none");
});

test("a container that ends or fails its liveness probe is started again", async () => {
  const lives = { exec: { command: ["false"] }, periodSeconds: 1, failureThreshold: 2 };
  await apply(
    pod("ending", { command: ["sh", "-c", "exit 3"] }),
    pod("stuck", {
      command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
      livenessProbe: lives,
    }),
  );
  for (const name of ["ending", "stuck"]) {
    const restarted = "jsonpath={.status.containerStatuses[0].restartCount}=1";
    await wait(name, restarted);
  }
});

test("deleting gives a container its grace, then its end, and leaves nothing", async () => {
  const mark = "trap 'echo told' TERM; echo up; while :; do sleep 0.1; done";
  await apply(pod("slow", { command: ["sh", "-c", mark] }, { terminationGracePeriodSeconds: 2 }));
  await wait("slow", "condition=Ready");
  const runner = kubelet.pod("slow")?.container();
  await expect.poll(() => runner?.log, { timeout: 10_000 }).toBe("up\n");
  const log = runner?.logFile ?? "";
  const deleting = mustEnd(plane.kubectl("delete", "pod", "slow"));
  const told = (): string => (existsSync(log) ? readFileSync(log, "utf8") : "gone");
  await expect.poll(told, { timeout: 20_000 }).toBe("up\ntold\n");
  await deleting;
  await expect.poll(told, { timeout: 20_000 }).toBe("gone");
});

test("a node that falls silent is not ready, and its pods are evicted", async () => {
  await apply(
    pod(
      "placed",
      { command: ["sleep", "1000"] },
      { nodeSelector: { "kubernetes.io/hostname": "node-2" } },
    ),
  );
  await wait("placed", "condition=Ready");
  kubelet.killNode("node-2");
  await mustEnd(
    plane.kubectl("wait", "node", "node-2", "--for=condition=Ready=Unknown", "--timeout=60s"),
  );
  await wait("placed", "jsonpath={.metadata.deletionTimestamp}");
  await mustEnd(plane.kubectl("delete", "node", "node-2"));
  await wait("placed", "delete");
});

test("the stand-in itself met no trouble", () => {
  expect(kubelet.failures).toEqual([]);
});
