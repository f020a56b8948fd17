import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { kubernetesAccess, scaleStatefulSet } from "../../src/process/kubernetes.js";

let folder: string;
let server: Server;
let port = 0;
let answer = 200;
const asked: string[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-kubernetes-"));
  const key = join(folder, "key.pem");
  const cert = join(folder, "ca.crt");
  const name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const made = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-keyout",
    key,
    "-out",
    cert,
  ];
  execFileSync("openssl", ["req", "-x509", "-nodes", "-days", "1", ...name, ...made], {
    stdio: "ignore",
  });
  await writeFile(join(folder, "token"), "secret\n");
  await writeFile(join(folder, "namespace"), "training");
  const tls = { key: await readFile(key), cert: await readFile(cert) };
  server = createServer(tls, (request, response) => {
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const type = headers["content-type"] ?? "";
      asked.push([method, url, type, headers.authorization ?? "", body].join(" "));
      response.writeHead(answer).end("{}");
    });
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  port = typeof address === "object" && address !== null ? address.port : 0;
});

afterAll(async () => {
  await new Promise((closed) => server.close(closed));
  await rm(folder, { recursive: true, force: true });
});

function inPod(): NonNullable<ReturnType<typeof kubernetesAccess>> {
  const access = kubernetesAccess({
    BITFLEET_SERVICE_ACCOUNT: folder,
    KUBERNETES_SERVICE_HOST: "127.0.0.1",
    KUBERNETES_SERVICE_PORT: String(port),
  });
  if (access === undefined) throw new Error("no access");
  return access;
}

const four = { name: "fleet-worker", namespace: "training", replicas: 4 };
const patch =
  "PATCH /apis/apps/v1/namespaces/training/statefulsets/fleet-worker/scale application/merge-patch+json";

test("a pod patches the scale with the token of its service account", async () => {
  answer = 200;
  expect(inPod().namespace).toBe("training");
  await scaleStatefulSet(inPod(), four);
  expect(asked.at(-1)).toBe(`${patch} Bearer secret {"spec":{"replicas":4}}`);
});

test("a kubeconfig serves as well", async () => {
  answer = 200;
  const config = join(folder, "config");
  const ca = (await readFile(join(folder, "ca.crt"))).toString("base64");
  const lines = [
    "current-context: here",
    "contexts: [{ name: here, context: { cluster: one, user: me, namespace: training } }]",
    `clusters: [{ name: one, cluster: { server: "https://127.0.0.1:${port}", certificate-authority-data: ${ca} } }]`,
    "users: [{ name: me, user: { token: mine } }]",
  ];
  await writeFile(config, lines.join("\n"));
  const access = kubernetesAccess({ KUBECONFIG: config });
  if (access === undefined) throw new Error("no access");
  await scaleStatefulSet(access, four);
  expect(asked.at(-1)).toBe(`${patch} Bearer mine {"spec":{"replicas":4}}`);
});

test.each([
  [
    403,
    "the pod's service account may not scale statefulset fleet-worker in namespace training: it lacks a role with \"patch\" on statefulsets/scale (the chart's scaleRole: true gives it)",
  ],
  [404, "there is no statefulset fleet-worker in namespace training"],
  [401, "does not know the token of the pod's service account"],
  [500, "refused to scale statefulset fleet-worker in namespace training (500)"],
])("an answer of %i is a sentence", async (status, sentence) => {
  answer = status;
  await expect(scaleStatefulSet(inPod(), four)).rejects.toThrow(sentence);
});

test("a server of another authority is not spoken to", async () => {
  await expect(scaleStatefulSet({ ...inPod(), ca: undefined }, four)).rejects.toThrow(
    "cannot reach Kubernetes",
  );
});

test("without service account and kubeconfig there is no Kubernetes", () => {
  expect(kubernetesAccess({ BITFLEET_SERVICE_ACCOUNT: folder })).toBeUndefined();
});
