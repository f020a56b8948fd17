import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  kubernetesAccess,
  scaleOfStatefulSet,
  scaleStatefulSet,
} from "../../src/process/kubernetes.js";
import { ScaleApi } from "../support/scaleApi.js";

let api: ScaleApi;

beforeAll(async () => {
  api = await ScaleApi.start();
});

afterAll(() => api.stop());

function inPod(): NonNullable<ReturnType<typeof kubernetesAccess>> {
  const access = kubernetesAccess(api.variables);
  if (access === undefined) throw new Error("no access");
  return access;
}

const four = { name: "fleet-worker", namespace: "training", replicas: 4 };
const path = "/apis/apps/v1/namespaces/training/statefulsets/fleet-worker/scale";
const patch = `PATCH ${path} application/merge-patch+json`;

test("a pod patches the scale with the token of its service account", async () => {
  api.answer = 200;
  expect(inPod().namespace).toBe("training");
  await scaleStatefulSet(inPod(), four);
  expect(api.asked.at(-1)).toBe(`${patch} Bearer secret {"spec":{"replicas":4}}`);
});

test("a kubeconfig serves as well", async () => {
  api.answer = 200;
  const config = join(api.folder, "config");
  const ca = (await readFile(join(api.folder, "ca.crt"))).toString("base64");
  const lines = [
    "current-context: here",
    "contexts: [{ name: here, context: { cluster: one, user: me, namespace: training } }]",
    `clusters: [{ name: one, cluster: { server: "https://127.0.0.1:${api.port}", certificate-authority-data: ${ca} } }]`,
    "users: [{ name: me, user: { token: mine } }]",
  ];
  await writeFile(config, lines.join("\n"));
  const access = kubernetesAccess({ KUBECONFIG: config });
  if (access === undefined) throw new Error("no access");
  await scaleStatefulSet(access, four);
  expect(api.asked.at(-1)).toBe(`${patch} Bearer mine {"spec":{"replicas":4}}`);
});

test.each([
  [
    403,
    'the pod\'s service account may not scale statefulset fleet-worker in namespace training: it lacks a role with "get" and "patch" on statefulsets/scale (the chart\'s scaleRole: true gives it)',
  ],
  [404, "there is no statefulset fleet-worker in namespace training"],
  [401, "does not know the token of the pod's service account"],
  [500, "refused to scale statefulset fleet-worker in namespace training (500)"],
])("an answer of %i is a sentence", async (status, sentence) => {
  api.answer = status;
  await expect(scaleStatefulSet(inPod(), four)).rejects.toThrow(sentence);
});

test("a server of another authority is not spoken to", async () => {
  await expect(scaleStatefulSet({ ...inPod(), ca: undefined }, four)).rejects.toThrow(
    "cannot reach Kubernetes",
  );
});

test("without service account and kubeconfig there is no Kubernetes", () => {
  expect(kubernetesAccess({ BITFLEET_SERVICE_ACCOUNT: api.folder })).toBeUndefined();
});

test("the scale is read, a zero that is left out too", async () => {
  api.answer = 200;
  api.replicas = 6;
  expect(await scaleOfStatefulSet(inPod(), four)).toBe(6);
  expect(api.asked.at(-1)).toBe(`GET ${path}  Bearer secret `);
  api.replicas = 0;
  expect(await scaleOfStatefulSet(inPod(), four)).toBe(0);
});
