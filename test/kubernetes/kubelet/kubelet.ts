import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { Api, ApiError } from "../api.js";
import type { ControlPlane } from "../controlPlane.js";
import type { Claim, EndpointSlice, Pod } from "../objects.js";
import { hostsFile } from "./hosts.js";
import type { Image } from "./images.js";
import { PodRunner } from "./pod.js";
import { Volumes } from "./volumes.js";

export interface NodeShape {
  readonly name: string;
  readonly gpus?: number;
}

const heartbeatMs = 2_000;
const storageClass = "local";

/**
 * Stands in for the kubelets of several nodes, and for what a cluster has beside them: names, and a
 * provisioner of volumes. Each container is a local process in mount, process and host-name
 * namespaces of its own (so it needs root), with the pod's own loopback address 127.1.NODE.POD.
 */
export class Kubelet {
  readonly #api: Api;
  readonly #apiPort: number;
  readonly #folder: string;
  readonly #images: ReadonlyMap<string, Image>;
  readonly #volumes: Volumes;
  readonly #nodes: string[] = [];
  readonly #dead = new Set<string>();
  readonly #pods = new Map<string, PodRunner>();
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #closing = new AbortController();
  readonly #work: Promise<void>[] = [];
  #addresses = 0;
  /** What went wrong in the stand-in itself; a test ends by asking that it is empty. */
  readonly failures: string[] = [];

  private constructor(plane: ControlPlane, images: ReadonlyMap<string, Image>) {
    this.#api = new Api(plane.port, plane.token, plane.ca);
    this.#apiPort = plane.port;
    this.#folder = join(plane.folder, "kubelet");
    this.#images = images;
    const claims = join(this.#folder, "claims");
    mkdirSync(claims, { recursive: true });
    this.#volumes = new Volumes(this.#api, claims);
  }

  static async start(
    plane: ControlPlane,
    nodes: readonly NodeShape[],
    images: ReadonlyMap<string, Image>,
  ): Promise<Kubelet> {
    if (process.getuid?.() !== 0) throw new Error("the stand-in for the kubelet needs root");
    const kubelet = new Kubelet(plane, images);
    await kubelet.#api.post(
      { path: "/apis/storage.k8s.io/v1/storageclasses" },
      {
        metadata: {
          name: storageClass,
          annotations: { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        provisioner: "bitfleet.test/local",
      },
    );
    for (const node of nodes) await kubelet.addNode(node);
    const { signal } = kubelet.#closing;
    kubelet.#work.push(
      kubelet.#api.watch<EndpointSlice>(
        { path: "/apis/discovery.k8s.io/v1/endpointslices" },
        ({ type, object }) => {
          if (type === "DELETED") kubelet.#slices.delete(object.metadata.uid);
          else kubelet.#slices.set(object.metadata.uid, object);
          for (const pod of kubelet.#pods.values()) pod.refreshHosts();
        },
        signal,
      ),
      kubelet.#api.watch<Claim>(
        { path: "/api/v1/persistentvolumeclaims" },
        ({ type, object }) => {
          if (type !== "DELETED") kubelet.#guard(kubelet.#provision(object));
        },
        signal,
      ),
      kubelet.#api.watch<Pod>(
        { path: "/api/v1/pods" },
        ({ type, object }) => kubelet.#seen(type, object),
        signal,
      ),
      kubelet.#beat(signal),
    );
    return kubelet;
  }

  async addNode({ name, gpus = 0 }: NodeShape): Promise<void> {
    const resources = {
      ...{ cpu: "64", memory: "256Gi", pods: "110", "ephemeral-storage": "100Gi" },
      ...(gpus === 0 ? {} : { "nvidia.com/gpu": String(gpus) }),
    };
    const labels = { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" };
    await this.#api.post({ path: "/api/v1/nodes" }, { metadata: { name, labels } });
    await this.#api.post(
      { path: "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases" },
      { metadata: { name }, spec: { holderIdentity: name, leaseDurationSeconds: 8 } },
    );
    await this.#api.patch(
      { path: `/api/v1/nodes/${name}/status` },
      {
        status: {
          capacity: resources,
          allocatable: resources,
          addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
        },
      },
    );
    await this.#renew(name);
    this.#nodes.push(name);
  }

  /** As when a machine loses its power. It stays silent for good. */
  killNode(name: string): void {
    this.#dead.add(name);
    for (const runner of this.#pods.values()) if (runner.pod.spec.nodeName === name) runner.kill();
  }

  /** The runner of a pod by its name. */
  pod(name: string): PodRunner | undefined {
    return [...this.#pods.values()].find(({ pod }) => pod.metadata.name === name);
  }

  get pods(): readonly PodRunner[] {
    return [...this.#pods.values()];
  }

  /** Where the files of a bound claim lie. */
  claimFolder({ spec }: Claim): string {
    if (spec.volumeName === undefined) throw new Error("the claim is not bound");
    return join(this.#folder, "claims", spec.volumeName);
  }

  get logs(): string {
    return this.pods.map((runner) => runner.log.split("\n").slice(-40).join("\n")).join("\n");
  }

  async stop(): Promise<void> {
    this.#closing.abort();
    for (const runner of this.#pods.values()) runner.kill();
    await Promise.all(this.#work);
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  #seen(type: string, pod: Pod): void {
    const { uid, deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
    const node = pod.spec.nodeName;
    const known = this.#pods.get(uid);
    if (type === "DELETED") {
      known?.kill();
      this.#pods.delete(uid);
      return;
    }
    if (node === undefined || !this.#nodes.includes(node) || this.#dead.has(node)) return;
    if (deletionTimestamp !== undefined) {
      if (known === undefined) return;
      this.#guard(known.end(deletionGracePeriodSeconds ?? 30));
    } else if (known === undefined && !["Succeeded", "Failed"].includes(pod.status?.phase ?? "")) {
      const runner = this.#runner(pod, node);
      this.#pods.set(uid, runner);
      this.#guard(runner.run());
    }
  }

  #runner(pod: Pod, node: string): PodRunner {
    this.#addresses += 1;
    return new PodRunner(pod, {
      api: this.#api,
      apiPort: this.#apiPort,
      volumes: this.#volumes,
      folder: join(this.#folder, "pods", pod.metadata.uid),
      podIP: `127.1.${this.#nodes.indexOf(node) + 1}.${this.#addresses}`,
      image: (reference) => {
        const image = this.#images.get(reference);
        if (image === undefined) throw new Error(`there is no image ${reference}`);
        return image;
      },
      hosts: (own) => hostsFile(pod.metadata.namespace, own, this.#slices.values()),
    });
  }

  async #provision({ metadata, spec, status }: Claim): Promise<void> {
    if (status?.phase === "Bound" || spec.volumeName !== undefined) return;
    if (spec.storageClassName !== storageClass) return;
    const name = `pv-${metadata.uid}`;
    const { namespace, name: claim, uid } = metadata;
    const volume = {
      metadata: { name },
      spec: {
        storageClassName: storageClass,
        accessModes: spec.accessModes,
        capacity: spec.resources.requests,
        persistentVolumeReclaimPolicy: "Retain",
        claimRef: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name: claim, uid },
        hostPath: { path: join(this.#folder, "claims", name) },
      },
    };
    try {
      await this.#api.post({ path: "/api/v1/persistentvolumes" }, volume);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 409) throw error;
    }
  }

  async #beat(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const alive = this.#nodes.filter((name) => !this.#dead.has(name));
      await Promise.all(
        alive.map((name) =>
          this.#renew(name).catch((error: unknown) => {
            if (!(error instanceof Error)) throw error;
          }),
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, heartbeatMs));
    }
  }

  /** The lease and the status: once a node has missed its grace, only what it says itself makes it ready again. */
  async #renew(node: string): Promise<void> {
    const lease = `/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${node}`;
    const now = new Date().toISOString();
    await this.#api.patch({ path: lease }, { spec: { renewTime: now.replace("Z", "000Z") } });
    const time = { lastHeartbeatTime: now, lastTransitionTime: now };
    const conditions = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"].map((type) => ({
      ...{ type, status: type === "Ready" ? "True" : "False", reason: "Kubelet", ...time },
    }));
    await this.#api.patch({ path: `/api/v1/nodes/${node}/status` }, { status: { conditions } });
  }

  #guard(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (!this.#closing.signal.aborted)
        this.failures.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    });
  }
}
