import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes, generateKeyPairSync } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { anyPort } from "../../src/process/port.js";
import { killChild } from "../support/killChild.js";
import { runCommand, type Ended } from "./command.js";

const startMs = 120_000;

/**
 * A real Kubernetes control plane on loopback: etcd, the API server (RBAC, admission with pod
 * security, service-account tokens), the controllers and the scheduler, on free ports, in a folder of
 * their own that `stop` removes. Nodes, DNS and the routing of services are the kubelet's stand-in.
 *
 * Waits that a cluster counts in minutes are seconds here: a silent node is not ready after eight,
 * and its pods are evicted two later.
 */
export class ControlPlane {
  readonly folder: string;
  readonly port: number;
  readonly token: string;
  readonly #bin: string;
  readonly #servers: { readonly name: string; readonly process: ChildProcess }[] = [];

  private constructor(bin: string, port: number) {
    this.#bin = bin;
    this.port = port;
    this.token = randomBytes(16).toString("hex");
    this.folder = mkdtempSync(join(tmpdir(), "bitfleet-kubernetes-"));
  }

  static async start(bin: string): Promise<ControlPlane> {
    const plane = new ControlPlane(bin, await anyPort());
    try {
      await plane.#start();
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  /** What a client trusts: the API server makes its own certificate. */
  get ca(): string {
    return readFileSync(this.#path("certs", "apiserver.crt"), "utf8");
  }

  get kubeconfig(): string {
    return this.#path("kubeconfig");
  }

  get pids(): readonly number[] {
    return this.#servers.flatMap(({ process: { pid } }) => pid ?? []);
  }

  kubectl(...args: readonly string[]): Promise<Ended> {
    return runCommand(join(this.#bin, "kubectl"), ["--kubeconfig", this.kubeconfig, ...args]);
  }

  helm(...args: readonly string[]): Promise<Ended> {
    return runCommand(join(this.#bin, "helm"), ["--kubeconfig", this.kubeconfig, ...args], {
      HELM_CACHE_HOME: this.#path("helm"),
      HELM_CONFIG_HOME: this.#path("helm"),
      HELM_DATA_HOME: this.#path("helm"),
    });
  }

  /** The last lines that a server has written: what a failed test wants to see. */
  log(name: string, lines = 20): string {
    return readFileSync(this.#path(`${name}.log`), "utf8")
      .trimEnd()
      .split("\n")
      .slice(-lines)
      .join("\n");
  }

  async stop(): Promise<void> {
    // The API server would wait for its watchers; what it holds goes away with the folder.
    for (const { process } of this.#servers.toReversed()) await killChild(process);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }

  async #start(): Promise<void> {
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    writeFileSync(this.#path("sa.key"), privateKey.export({ type: "pkcs1", format: "pem" }));
    writeFileSync(this.#path("tokens.csv"), `${this.token},admin,admin,"system:masters"\n`);
    this.#writeKubeconfig();

    const etcd = `http://127.0.0.1:${await anyPort()}`;
    const peer = `http://127.0.0.1:${await anyPort()}`;
    this.#serve("etcd", join(this.#bin, "etcd"), [
      `--data-dir=${this.#path("etcd")}`,
      `--listen-client-urls=${etcd}`,
      `--advertise-client-urls=${etcd}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      "--unsafe-no-fsync",
    ]);
    this.#kubeServer("kube-apiserver", [
      `--etcd-servers=${etcd}`,
      "--bind-address=127.0.0.1",
      "--advertise-address=127.0.0.1",
      `--secure-port=${this.port}`,
      `--cert-dir=${this.#path("certs")}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${this.#path("sa.key")}`,
      `--service-account-signing-key-file=${this.#path("sa.key")}`,
      `--token-auth-file=${this.#path("tokens.csv")}`,
      "--authorization-mode=RBAC",
      "--service-cluster-ip-range=10.96.0.0/24",
      "--default-not-ready-toleration-seconds=2",
      "--default-unreachable-toleration-seconds=2",
    ]);
    await this.#answers("the API server", "get", "--raw", "/readyz");

    const common = [
      `--kubeconfig=${this.kubeconfig}`,
      "--bind-address=127.0.0.1",
      `--cert-dir=${this.#path("certs")}`,
      "--leader-elect=false",
    ];
    this.#kubeServer("kube-controller-manager", [
      ...common,
      `--secure-port=${await anyPort()}`,
      "--use-service-account-credentials=false",
      `--service-account-private-key-file=${this.#path("sa.key")}`,
      `--root-ca-file=${this.#path("certs", "apiserver.crt")}`,
      "--node-monitor-period=1s",
      "--node-monitor-grace-period=8s",
    ]);
    this.#kubeServer("kube-scheduler", [...common, `--secure-port=${await anyPort()}`]);
    await this.#answers("the controllers", "get", "serviceaccount", "default");
  }

  async #answers(what: string, ...request: readonly string[]): Promise<void> {
    const deadline = performance.now() + startMs;
    for (;;) {
      const { code, output } = await this.kubectl("--request-timeout=5s", ...request);
      if (code === 0) return;
      const gone = this.#servers.find(({ process: { exitCode } }) => exitCode !== null);
      if (gone !== undefined) throw new Error(`${gone.name} has ended:\n${this.log(gone.name)}`);
      if (performance.now() > deadline)
        throw new Error(`${what} did not answer in ${startMs / 1000} s: ${output}`);
      await sleep(300);
    }
  }

  #kubeServer(name: string, args: readonly string[]): void {
    this.#serve(name, join(this.#bin, "kube-servers"), [name, ...args]);
  }

  #serve(name: string, program: string, args: readonly string[]): void {
    const log = openSync(this.#path(`${name}.log`), "a");
    // A test that is killed takes its servers along.
    const mortal = ["--pdeathsig", "KILL", program, ...args];
    this.#servers.push({
      name,
      process: spawn("/usr/bin/setpriv", mortal, { stdio: ["ignore", log, log] }),
    });
    closeSync(log);
  }

  #writeKubeconfig(): void {
    const server = `https://127.0.0.1:${this.port}`;
    const authority = this.#path("certs", "apiserver.crt");
    const config = {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "local", cluster: { server, "certificate-authority": authority } }],
      users: [{ name: "admin", user: { token: this.token } }],
      contexts: [{ name: "local", context: { cluster: "local", user: "admin" } }],
      "current-context": "local",
    };
    writeFileSync(this.kubeconfig, JSON.stringify(config), { mode: 0o600 });
  }

  #path(...names: readonly string[]): string {
    return join(this.folder, ...names);
  }
}
