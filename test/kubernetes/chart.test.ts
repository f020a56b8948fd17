import { mkdtemp, readFile, rm } from "node:fs/promises";
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, onTestFailed, test } from "vitest";

import type { JobRequest } from "../../src/job/settings.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";
import { mustEnd, type Ended } from "./command.js";
import { ControlPlane } from "./controlPlane.js";
import { installKubernetes } from "./install.mjs";
import { bitfleetImage } from "./kubelet/images.js";
import { Kubelet } from "./kubelet/kubelet.js";
import { Release } from "./release.js";

// The tests build on each other, in their order: one installation from its first minute to its last.

const name = "fleet";
const nodes = ["node-1", "node-2", "node-3"];
/** Slow enough that pods come and go while a job runs; it changes no bit. */
const slow = "slow=0.5@0*";
const stepCount = 120;
const testMs = 900_000;

let folder: string;
let plane: ControlPlane;
let kubelet: Kubelet;
let release: Release;
let undisturbed: Buffer;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-chart-"));
  await writePictures(join(folder, "pictures"), { classes: 2, perClass: 20 });
  const bin = await installKubernetes(process.env, (line) => console.error(line));
  [undisturbed, plane] = await Promise.all([trainedOnThisMachine(), ControlPlane.start(bin)]);
  const programs = join(folder, "image");
  mkdirSync(programs);
  const image = bitfleetImage(programs);
  const images = new Map(["one", "two"].map((tag) => [`bitfleet:${tag}`, image]));
  kubelet = await Kubelet.start(
    plane,
    nodes.map((node) => ({ name: node })),
    images,
  );
  release = new Release(plane, kubelet, name);
  await mustEnd(plane.kubectl("create", "namespace", name));
  const level = "pod-security.kubernetes.io/enforce=restricted";
  await mustEnd(plane.kubectl("label", "namespace", name, level));
}, 900_000);

afterAll(async () => {
  // Whatever of it has started.
  const started = { kubelet, plane } as { kubelet?: Kubelet; plane?: ControlPlane };
  await started.kubelet?.stop();
  await started.plane?.stop();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(() => {
  onTestFailed(() => console.error(`${release.lastProblem}\n${kubelet.logs}`));
});

function request(job: string, data = "/data/pictures"): JobRequest {
  return {
    name: job,
    ...{ model: "1-1-1-1x0.5", data, seed: 5, steps: stepCount },
    ...{ batch: 12, shards: 6, resize: 36, crop: 32, rate: 0.003, checkpointEvery: 100 },
  };
}

/** The same job without Kubernetes and without a fault. */
async function trainedOnThisMachine(): Promise<Buffer> {
  const fleet = await FleetProcesses.start();
  try {
    fleet.addWorker("alone");
    await fleet.waitForWorkers(1);
    await fleet.client.submit(request("undisturbed", join(folder, "pictures")));
    const isDone = async (): Promise<boolean> =>
      (await fleet.client.job("undisturbed")).state === "done";
    await until("the undisturbed job's end", isDone, 600_000);
    const file = join(folder, "undisturbed.npz");
    await fleet.client.exportWeights("undisturbed", file, { force: true });
    return await readFile(file);
  } finally {
    await fleet.stop();
  }
}

async function submit(job: string): Promise<void> {
  await until(
    `${job} is queued`,
    async () => {
      const status = await release.ask((client) => client.submit(request(job), `submit-${job}`));
      return status !== undefined;
    },
    300_000,
  );
}

/** Until so many work on it and a step more is committed; a job that is done is too fast for the test. */
async function worksOn(job: string, count: number): Promise<void> {
  let first: number | undefined;
  const isSo = async (): Promise<boolean> => {
    const status = await release.job(job);
    if (status === undefined) return false;
    if (["done", "failed"].includes(status.state)) throw new Error(`${job}: ${status.state}`);
    if (status.state !== "training" || status.workers !== count) return false;
    first ??= status.step;
    return status.step > first;
  };
  await until(`${count} workers on ${job}`, isSo, 400_000);
}

async function ends(job: string): Promise<void> {
  await until(`${job} is done`, async () => (await release.job(job))?.state === "done", 600_000);
  const file = join(folder, `${job}.npz`);
  await until(`the weights of ${job}`, async () => {
    const exported = release.ask(async (client) => {
      await client.exportWeights(job, file, { force: true });
      return true;
    });
    return (await exported) ?? false;
  });
  expect((await readFile(file)).equals(undisturbed)).toBe(true);
}

async function rolledOut(part: string): Promise<void> {
  const args = ["rollout", "status", part, "--timeout=100s"];
  await until(
    `${part} is rolled out`,
    async () => (await release.kubectl(...args)).code === 0,
    400_000,
  );
}

/** The steps in the job's log: each once and none missing, in one attempt. */
async function lostNothing(job: string): Promise<void> {
  const steps = await release.ask(async (client) => {
    const found: unknown[] = [];
    for await (const { fields } of client.logs(job))
      if (fields["loss"] !== undefined && fields["rate"] !== undefined) found.push(fields["step"]);
    return found;
  });
  expect(steps).toEqual(Array.from({ length: stepCount }, (_, i) => i + 1));
  expect((await release.job(job))?.attempt).toBe(1);
}

function say(text: string): void {
  console.info(`chart: ${text}`);
}

test(
  "the first step is committed within a minute of the installation",
  async () => {
    const began = performance.now();
    await release.install(
      "--set=image.tag=one,workers.gpu=0,listenOn=$(POD_IP)",
      `--set=workers.extraEnv[0].name=BITFLEET_FAILPOINTS,workers.extraEnv[0].value=${slow}`,
    );
    await release.fill("data", join(folder, "pictures"), "pictures");
    await submit("scaled");
    await until(
      "the first step",
      async () => ((await release.job("scaled"))?.step ?? 0) > 0,
      120_000,
    );
    const seconds = (performance.now() - began) / 1000;
    say(`${seconds.toFixed(1)} s from helm install to the first committed step`);
    expect(seconds).toBeLessThan(60);
  },
  testMs,
);

test(
  "kubectl scale from two workers to four and to one loses no step and changes no byte",
  async () => {
    await worksOn("scaled", 2);
    await release.scale(4);
    await worksOn("scaled", 4);
    await release.scale(1);
    await worksOn("scaled", 1);
    await until("one pod", () => release.pods("worker").length === 1);
    await release.scale(3);
    await ends("scaled");
    await lostNothing("scaled");
  },
  testMs,
);

test(
  "pods that are deleted, at once or with their grace, cost a job nothing",
  async () => {
    await submit("disturbed");
    await worksOn("disturbed", 3);
    await release.must("delete", "pod", `${release.workers}-1`);
    await release.must("delete", "pod", `${release.workers}-0`, "--grace-period=0", "--force");
    await worksOn("disturbed", 3);
  },
  testMs,
);

test(
  "draining a node moves its pods as far as the budget lets it",
  async () => {
    const node = release.pods("worker")[0]?.pod.spec.nodeName ?? "";
    const flags = ["--ignore-daemonsets", "--delete-emptydir-data", "--timeout=110s"];
    await mustEnd(plane.kubectl("drain", node, ...flags));
    await mustEnd(plane.kubectl("uncordon", node));
    await worksOn("disturbed", 3);
  },
  testMs,
);

test(
  "the coordinator's node goes down: it comes back on another one, and the job goes on",
  async () => {
    const [lost] = release.pods("coordinator");
    const node = lost?.pod.spec.nodeName ?? "";
    const before = (await release.job("disturbed"))?.step ?? 0;
    kubelet.killNode(node);
    const began = performance.now();
    await mustEnd(
      plane.kubectl("wait", "node", node, "--for=condition=Ready=Unknown", "--timeout=60s"),
    );
    // What an operator, or a cloud's controller, says once the machine is known to be off.
    const off = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute";
    await mustEnd(plane.kubectl("taint", "node", node, off));
    const goesOn = async (): Promise<boolean> =>
      ((await release.job("disturbed"))?.step ?? 0) > before + 1;
    await until("a step after the loss", goesOn, 300_000);
    say(
      `${((performance.now() - began) / 1000).toFixed(1)} s from the loss of the coordinator's node to the next step`,
    );
    await worksOn("disturbed", 3);
    const [found] = release.pods("coordinator");
    expect(found?.pod.spec.nodeName).not.toBe(node);
  },
  testMs,
);

test(
  "bitfleet scale is refused without the role, and works with it, which allows nothing else",
  async () => {
    const args = ["scale", "2", "--statefulset", release.workers];
    const inside = (): Promise<Ended> => release.exec(release.pods("coordinator")[0], ...args);
    const tokenless = await inside();
    expect(tokenless.code).not.toBe(0);
    expect(tokenless.output).toContain("scaleRole: true");
    const refused = await release.runWithoutRole(args);
    expect(refused).toContain('it lacks a role with "get" and "patch" on statefulsets/scale');

    await release.upgrade("--set=scaleRole=true");
    await rolledOut("deployment/fleet-coordinator");
    expect(await inside()).toEqual({
      code: 0,
      output: "fleet/fleet-worker is to have 2 workers\n",
    });
    await until("two pods", () => release.pods("worker").length === 2, 150_000);
    const as = `--as=system:serviceaccount:${name}:${name}-coordinator`;
    const may = async (verb: string, what: string): Promise<string> =>
      (await release.kubectl("auth", "can-i", verb, ...what.split(" "), as)).output.trim();
    expect(await may("patch", "statefulsets/fleet-worker --subresource=scale")).toBe("yes");
    expect(await may("patch", "statefulsets/fleet-nats --subresource=scale")).toBe("no");
    expect(await may("update", "statefulsets/fleet-worker --subresource=scale")).toBe("no");
    expect(await may("patch", "statefulsets/fleet-worker")).toBe("no");
    expect(await may("get", "secrets")).toBe("no");
  },
  testMs,
);

test(
  "an upgrade to another image keeps the scale, and the job ends with the bytes of an undisturbed run",
  async () => {
    await release.upgrade("--set=image.tag=two");
    for (const part of ["deployment/fleet-coordinator", "statefulset/fleet-nats"])
      await rolledOut(part);
    await rolledOut("statefulset/fleet-worker");
    const workers = release.pods("worker");
    expect(workers).toHaveLength(2);
    const all = [...release.pods("coordinator"), ...release.pods("nats"), ...workers];
    const images = all.flatMap(({ pod }) => pod.spec.containers.map(({ image }) => image));
    expect(images).toEqual(images.map(() => "bitfleet:two"));
    await ends("disturbed");
    await lostNothing("disturbed");
  },
  testMs,
);

test(
  "helm test finds the fleet in order",
  async () => {
    expect(await release.test()).toMatchObject({ code: 0 });
  },
  testMs,
);

test(
  "uninstalling leaves only the volumes",
  async () => {
    await release.uninstall();
    await until("no pod", () => kubelet.pods.length === 0, 120_000);
    const kinds = await mustEnd(
      plane.kubectl("api-resources", "--namespaced", "--verbs=list,delete", "--output=name"),
    );
    // What a namespace always has, and what happened in it.
    const own = [/^configmap\/kube-root-ca\.crt$/, /^serviceaccount\/default$/, /^event/];
    const isWarning = (line: string): boolean => line.startsWith("Warning: ");
    const all = kinds.trim().split("\n").join(",");
    const left = async (): Promise<readonly string[]> => {
      const objects = (await release.must("get", all, "--output=name")).trim().split("\n");
      return objects
        .filter((object) => !isWarning(object) && !own.some((known) => known.test(object)))
        .toSorted();
    };
    // What the objects had made is collected after them.
    await expect
      .poll(left, { timeout: 60_000, interval: 2_000 })
      .toEqual([
        `persistentvolumeclaim/${name}-data`,
        `persistentvolumeclaim/${name}-store`,
        `persistentvolumeclaim/records-${name}-nats-0`,
      ]);
  },
  testMs,
);

test("the stand-in for the kubelet met no trouble", () => {
  expect(kubelet.failures).toEqual([]);
});
