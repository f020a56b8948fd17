import { cpSync } from "node:fs";
import { join } from "node:path";

import { connect, type BitfleetClient, type JobStatus } from "../../src/client/client.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { mustEnd, type Ended } from "./command.js";
import type { ControlPlane } from "./controlPlane.js";
import type { Kubelet } from "./kubelet/kubelet.js";
import type { PodRunner } from "./kubelet/pod.js";
import type { Claim } from "./objects.js";

const chart = join(packageRoot(), "deploy", "chart", "bitfleet");

/** One installation of the chart as a platform engineer has it: by helm, kubectl and the client library. */
export class Release {
  readonly #plane: ControlPlane;
  readonly #kubelet: Kubelet;
  readonly name: string;

  /** The release, its namespace and the first part of its objects' names are all `name`. */
  constructor(plane: ControlPlane, kubelet: Kubelet, name: string) {
    this.#plane = plane;
    this.#kubelet = kubelet;
    this.name = name;
  }

  install(...values: readonly string[]): Promise<string> {
    return this.#must("install", [chart, `--set=fullnameOverride=${this.name}`, ...values]);
  }

  upgrade(...values: readonly string[]): Promise<string> {
    return this.#must("upgrade", [chart, "--reuse-values", ...values]);
  }

  test(): Promise<Ended> {
    return this.#plane.helm("test", this.name, `--namespace=${this.name}`, "--timeout=90s");
  }

  uninstall(): Promise<string> {
    return this.#must("uninstall", ["--wait", "--timeout=110s"]);
  }

  /** kubectl in the release's namespace. */
  kubectl(...args: readonly string[]): Promise<Ended> {
    return this.#plane.kubectl(`--namespace=${this.name}`, ...args);
  }

  must(...args: readonly string[]): Promise<string> {
    return mustEnd(this.kubectl(...args));
  }

  get workers(): string {
    return `${this.name}-worker`;
  }

  scale(replicas: number): Promise<string> {
    return this.must("scale", "statefulset", this.workers, `--replicas=${replicas}`);
  }

  /** The pods of a part that run and are not about to end. */
  pods(component: "coordinator" | "nats" | "worker"): readonly PodRunner[] {
    return this.#kubelet.pods.filter(
      (runner) =>
        !runner.isOver() &&
        runner.pod.metadata.labels?.["app.kubernetes.io/component"] === component,
    );
  }

  /** Copies a folder into a volume, as the job that fills a cluster's data volume would. */
  async fill(claim: string, from: string, to: string): Promise<void> {
    const name = `${this.name}-${claim}`;
    await this.must("wait", "pvc", name, "--for=jsonpath={.status.phase}=Bound", "--timeout=60s");
    const object = JSON.parse(await this.must("get", "pvc", name, "--output=json")) as Claim;
    cpSync(from, join(this.#kubelet.claimFolder(object), to), { recursive: true });
  }

  /** Asks the coordinator that is ready now; `undefined` where there is none, or it does not answer. */
  async ask<T>(question: (client: BitfleetClient) => Promise<T>): Promise<T | undefined> {
    const pod = this.pods("coordinator").find((runner) => runner.container()?.ready === true);
    if (pod === undefined) return undefined;
    const client = connect({ address: `${pod.podIP}:7450`, token: await this.#token() });
    try {
      return await question(client);
    } catch (error) {
      // It may be on its way out; who asks asks again.
      if (!(error instanceof Error)) throw error;
      this.lastProblem = error.message;
      return undefined;
    } finally {
      client.close();
    }
  }

  lastProblem = "";

  job(name: string): Promise<JobStatus | undefined> {
    return this.ask((client) => client.job(name));
  }

  /** A command of ours in a pod. */
  exec(pod: PodRunner | undefined, ...command: readonly string[]): Promise<Ended> {
    const container = pod?.container();
    if (container === undefined) throw new Error("there is no such container");
    return container.exec(["bitfleet", ...command], 60_000);
  }

  /** What a command of ours prints in a pod whose account has a token and no role. */
  async runWithoutRole(command: readonly string[]): Promise<string> {
    const name = "asking";
    const security = {
      ...{ allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } },
      ...{ runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: "RuntimeDefault" } },
    };
    const image = this.pods("coordinator")[0]?.pod.spec.containers[0]?.image;
    const container = { name, image, args: command, securityContext: security };
    const overrides = JSON.stringify({ spec: { containers: [container], restartPolicy: "Never" } });
    await this.must(
      "run",
      name,
      "--image=given-below",
      "--restart=Never",
      `--overrides=${overrides}`,
    );
    await this.must("wait", "pod", name, "--for=jsonpath={.status.phase}=Failed", "--timeout=90s");
    const output = this.#kubelet.pod(name)?.log ?? "";
    await this.must("delete", "pod", name);
    return output;
  }

  #admin: string | undefined;

  async #token(): Promise<string> {
    if (this.#admin === undefined) {
      const encoded = await this.must(
        ...["get", "secret", this.name, "--output=jsonpath={.data.admin-token}"],
      );
      this.#admin = Buffer.from(encoded, "base64").toString("utf8");
    }
    return this.#admin;
  }

  #must(verb: string, args: readonly string[]): Promise<string> {
    return mustEnd(this.#plane.helm(verb, this.name, `--namespace=${this.name}`, ...args));
  }
}
