import {
  constants,
  mkdirSync,
  openSync,
  closeSync,
  ftruncateSync,
  writeSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { reasonOf } from "../../../src/job/problem.js";
import { ApiError, type Api } from "../api.js";
import type { Container, Pod } from "../objects.js";
import { ContainerRunner } from "./container.js";
import { environmentOf } from "./environment.js";
import { toldAddress } from "./hosts.js";
import type { Image, Mount } from "./images.js";
import type { Volumes } from "./volumes.js";

export interface PodContext {
  readonly api: Api;
  readonly apiPort: number;
  readonly volumes: Volumes;
  readonly folder: string;
  readonly podIP: string;
  /** The image of that reference; throws where there is none. */
  readonly image: (reference: string) => Image;
  readonly hosts: (own: { readonly podIP: string; readonly hostname: string }) => string;
}

/** One pod on its node: its volumes, its containers in their order, its status, its end. */
export class PodRunner {
  readonly pod: Pod;
  readonly #context: PodContext;
  readonly #path: string;
  readonly #startTime = timestamp();
  #init: ContainerRunner[] = [];
  #containers: ContainerRunner[] = [];
  #reporting: Promise<void> = Promise.resolve();
  #waitingFor = "ContainerCreating";
  #ending: Promise<void> | undefined;
  #dead = false;
  #gone = false;

  constructor(pod: Pod, context: PodContext) {
    this.pod = pod;
    this.#context = context;
    this.#path = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}`;
    mkdirSync(context.folder, { recursive: true });
  }

  /** Its end has begun, or its node is gone. */
  isOver(): boolean {
    return this.#dead || this.#ending !== undefined;
  }

  get podIP(): string {
    return this.#context.podIP;
  }

  container(name?: string): ContainerRunner | undefined {
    return this.#containers.find(({ spec }) => name === undefined || spec.name === name);
  }

  get log(): string {
    return [...this.#init, ...this.#containers]
      .map((runner) => `--- ${this.pod.metadata.name} ${runner.spec.name}\n${runner.log}`)
      .join("\n");
  }

  async run(): Promise<void> {
    const policy = this.pod.spec.restartPolicy ?? "Always";
    this.refreshHosts();
    for (;;) {
      if (this.isOver()) return;
      try {
        this.#init = await this.#prepare(this.pod.spec.initContainers ?? []);
        this.#containers = await this.#prepare(this.pod.spec.containers);
        break;
      } catch (error) {
        // A claim that is not bound yet, a map that comes later: as a kubelet, it tries again.
        this.#waitingFor = reasonOf(error);
        this.#report();
        await sleep(500);
      }
    }
    for (const runner of this.#init) {
      await runner.run(policy === "Never" ? "Never" : "OnFailure");
      if (this.isOver() || runner.exit?.exitCode !== 0) return;
    }
    await Promise.all(this.#containers.map((runner) => runner.run(policy)));
  }

  /** Names follow the services; the file is written in place, since each container has it mounted. */
  refreshHosts(): void {
    if (this.#gone) return;
    const text = this.#context.hosts({ podIP: this.podIP, hostname: this.#hostname() });
    const open = openSync(
      join(this.#context.folder, "hosts"),
      constants.O_RDWR | constants.O_CREAT,
    );
    try {
      const bytes = Buffer.from(text);
      writeSync(open, bytes, 0, bytes.length, 0);
      ftruncateSync(open, bytes.length);
    } finally {
      closeSync(open);
    }
  }

  /** Ends the containers in their grace and then the object itself. */
  end(graceSeconds: number): Promise<void> {
    this.#ending ??= this.#end(1000 * graceSeconds);
    return this.#ending;
  }

  /** As when the node loses its power: the processes are gone, and nobody is told. */
  kill(): void {
    this.#dead = true;
    for (const runner of [...this.#init, ...this.#containers]) runner.kill();
  }

  async #end(graceMs: number): Promise<void> {
    await Promise.all([...this.#init, ...this.#containers].map((runner) => runner.stop(graceMs)));
    if (this.#dead) return;
    this.#report();
    await this.#reporting;
    const { uid } = this.pod.metadata;
    const now = { gracePeriodSeconds: 0, preconditions: { uid } };
    await this.#context.api.remove(this.#path, now).catch(ignoreGone);
    this.#gone = true;
    rmSync(this.#context.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #prepare(specs: readonly Container[]): Promise<ContainerRunner[]> {
    const { volumes, folder, podIP, image } = this.#context;
    const { namespace } = this.pod.metadata;
    const folders = new Map<string, string>();
    for (const volume of this.pod.spec.volumes ?? [])
      folders.set(
        volume.name,
        await volumes.prepare(this.pod, podIP, volume, join(folder, "volumes")),
      );
    const runners: ContainerRunner[] = [];
    for (const spec of specs) {
      const what = image(spec.image);
      const base = {
        ...what.environment,
        HOSTNAME: this.#hostname(),
        // No service is routed here: the API server is where it listens.
        KUBERNETES_SERVICE_HOST: "127.0.0.1",
        KUBERNETES_SERVICE_PORT: String(this.#context.apiPort),
        KUBERNETES_SERVICE_PORT_HTTPS: String(this.#context.apiPort),
      };
      const environment = await environmentOf(spec, base, {
        pod: this.pod,
        podIP,
        configMap: async (name) => textOf(() => volumes.configMap(namespace, name)),
        secret: async (name) => textOf(() => volumes.secret(namespace, name)),
      });
      const mounts = [...this.#ownFiles(), ...mountsOf(spec, folders)];
      const place = { pod: this.pod, podIP, folder, image: what, mounts, environment };
      runners.push(new ContainerRunner(spec, place, () => this.#report()));
    }
    return runners;
  }

  #ownFiles(): readonly Mount[] {
    const { folder } = this.#context;
    const nsswitch = join(folder, "nsswitch.conf");
    writeFileSync(nsswitch, "passwd: files\ngroup: files\nhosts: files\n");
    return [
      { source: join(folder, "hosts"), target: "/etc/hosts", writable: false },
      { source: nsswitch, target: "/etc/nsswitch.conf", writable: false },
    ];
  }

  #hostname(): string {
    return this.pod.spec.hostname ?? this.pod.metadata.name;
  }

  #report(): void {
    this.#reporting = this.#reporting.then(() => this.#send());
  }

  async #send(): Promise<void> {
    if (this.#dead) return;
    const resource = { path: `${this.#path}/status` };
    await this.#context.api
      .patch<Pod>(resource, { metadata: { uid: this.pod.metadata.uid }, status: this.#status() })
      .catch(ignoreGone);
  }

  #status(): unknown {
    const all = this.#containers;
    const ready = all.length > 0 && all.every((runner) => runner.ready);
    const initialized = this.#init.every(({ exit }) => exit?.exitCode === 0);
    const now = timestamp();
    const condition = (type: string, good: boolean): unknown => ({
      type,
      status: good ? "True" : "False",
      lastTransitionTime: now,
    });
    return {
      phase: this.#phase(),
      podIP: toldAddress(this.podIP),
      podIPs: [{ ip: toldAddress(this.podIP) }],
      hostIP: "127.0.0.1",
      startTime: this.#startTime,
      conditions: [
        condition("PodScheduled", true),
        condition("Initialized", initialized),
        condition("ContainersReady", ready),
        condition("Ready", ready && this.#ending === undefined),
      ],
      initContainerStatuses: this.#init.map((runner) => this.#containerStatus(runner)),
      containerStatuses:
        all.length > 0
          ? all.map((runner) => this.#containerStatus(runner))
          : this.pod.spec.containers.map(({ name, image }) => ({
              ...{ name, image, imageID: image, ready: false, restartCount: 0 },
              state: { waiting: { reason: "ContainerCreating", message: this.#waitingFor } },
            })),
    };
  }

  #phase(): string {
    const all = this.#containers;
    if (this.#init.some(({ phase, exit }) => phase === "terminated" && exit?.exitCode !== 0))
      return "Failed";
    if (all.length > 0 && all.every(({ phase }) => phase === "terminated"))
      return all.every(({ exit }) => exit?.exitCode === 0) ? "Succeeded" : "Failed";
    return all.some(({ phase, restarts }) => phase !== "waiting" || restarts > 0)
      ? "Running"
      : "Pending";
  }

  #containerStatus(runner: ContainerRunner): unknown {
    const { spec, phase, startedAt, exit, restarts, ready, started } = runner;
    const terminated = exit && { ...exit, reason: exit.exitCode === 0 ? "Completed" : "Error" };
    const state = {
      waiting: {
        waiting: { reason: restarts > 0 || exit ? "CrashLoopBackOff" : "PodInitializing" },
      },
      running: { running: { startedAt } },
      terminated: { terminated },
    }[phase];
    return {
      ...{ name: spec.name, image: spec.image, imageID: spec.image, ready, started, state },
      restartCount: restarts,
      ...(phase !== "terminated" && terminated ? { lastState: { terminated } } : {}),
    };
  }
}

/** The time now as the API writes it. */
export function timestamp(): string {
  return new Date().toISOString().replace(/\.\d+Z/, "Z");
}

function mountsOf(spec: Container, folders: ReadonlyMap<string, string>): readonly Mount[] {
  // Outer folders first, or they would hide what is mounted below them.
  return (spec.volumeMounts ?? [])
    .toSorted((left, right) => left.mountPath.length - right.mountPath.length)
    .map(({ name, mountPath, subPath, readOnly = false }) => {
      const folder = folders.get(name);
      if (folder === undefined) throw new Error(`${spec.name} mounts ${name}, which is no volume`);
      return { source: join(folder, subPath ?? ""), target: mountPath, writable: !readOnly };
    });
}

async function textOf(
  read: () => Promise<ReadonlyMap<string, Buffer>>,
): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    return new Map([...(await read())].map(([key, value]) => [key, value.toString("utf8")]));
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** The object may be gone, or another of its name may have come; neither is this runner's any more. */
function ignoreGone(error: unknown): void {
  if (!(error instanceof ApiError) || ![404, 409].includes(error.status)) throw error;
}
