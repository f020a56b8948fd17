import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";

import { isAlive } from "../support/isAlive.js";
import { mustEnd } from "./command.js";
import { ControlPlane } from "./controlPlane.js";
import { installKubernetes } from "./install.mjs";

let bin: string;
let plane: ControlPlane;

beforeAll(async () => {
  bin = await installKubernetes(process.env, (line) => console.error(line));
  plane = await ControlPlane.start(bin);
}, 900_000);

afterAll(() => plane.stop());

test("the controllers act: a deployment's pod appears and waits for a node", async () => {
  await mustEnd(plane.kubectl("create", "deployment", "idle", "--image=none"));
  await mustEnd(
    plane.kubectl("wait", "pod", "--selector=app=idle", "--for=condition=PodScheduled=False"),
  );
});

test("a pod that is not restricted is refused where its namespace enforces that", async () => {
  await mustEnd(plane.kubectl("create", "namespace", "strict"));
  const level = "pod-security.kubernetes.io/enforce=restricted";
  await mustEnd(plane.kubectl("label", "namespace", "strict", level));
  const { code, output } = await plane.kubectl("run", "bare", "--image=none", "--namespace=strict");
  expect(code).not.toBe(0);
  expect(output).toContain('violates PodSecurity "restricted:latest"');
});

test("a service account's token opens what its role allows, and nothing else", async () => {
  await mustEnd(plane.kubectl("create", "serviceaccount", "reader"));
  await mustEnd(plane.kubectl("create", "role", "reads", "--verb=get", "--resource=pods"));
  const binding = ["--role=reads", "--serviceaccount=default:reader"];
  await mustEnd(plane.kubectl("create", "rolebinding", "reads", ...binding));
  const token = (await mustEnd(plane.kubectl("create", "token", "reader"))).trim();
  const may = async (verb: string): Promise<string> =>
    (await plane.kubectl("auth", "can-i", verb, "pods", "--token", token)).output.trim();
  expect(await may("get")).toBe("yes");
  expect(await may("delete")).toBe("no");
});

test("stopping leaves no process and no folder", async () => {
  const other = await ControlPlane.start(bin);
  const { pids, folder } = other;
  expect(pids.filter(isAlive)).toHaveLength(4);
  await other.stop();
  expect(pids.filter(isAlive)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
});
