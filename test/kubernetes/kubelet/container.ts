import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { runCommand, type Ended } from "../command.js";
import type { Container, Pod, SecurityContext } from "../objects.js";
import { expand } from "./environment.js";
import type { Image, Mount } from "./images.js";
import { pause, probe, watchProbe } from "./probe.js";

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const enter = join(import.meta.dirname, "enter.sh");

/** A kubelet begins with ten seconds and ends at five minutes. */
const backOffMs = 1_000;
const backOffMaxMs = 10_000;

export interface Place {
  readonly pod: Pod;
  readonly podIP: string;
  readonly folder: string;
  readonly image: Image;
  readonly mounts: readonly Mount[];
  readonly environment: Readonly<Record<string, string>>;
}

export interface Exit {
  readonly exitCode: number;
  readonly signal: number;
}

type Phase = "waiting" | "running" | "terminated";

/** One container of a pod: a process in namespaces of its own, its probes, and its restarts. */
export class ContainerRunner {
  readonly spec: Container;
  readonly #place: Place;
  readonly #changed: () => void;
  readonly #stopping = new AbortController();
  #process: ChildProcess | undefined;
  phase: Phase = "waiting";
  started = false;
  ready = false;
  restarts = 0;
  startedAt = "";
  exit: Exit | undefined;

  constructor(spec: Container, place: Place, changed: () => void) {
    this.spec = spec;
    this.#place = place;
    this.#changed = changed;
  }

  /** Runs until the container is done for good: it was stopped, or its restart policy lets it end. */
  async run(policy: "Always" | "OnFailure" | "Never"): Promise<void> {
    const { signal } = this.#stopping;
    for (let delayMs = backOffMs; !signal.aborted; delayMs = Math.min(2 * delayMs, backOffMaxMs)) {
      const began = performance.now();
      this.exit = await this.#once();
      const again = policy === "Always" || (policy === "OnFailure" && this.exit.exitCode !== 0);
      if (!again || this.#isStopping()) break;
      if (performance.now() - began > 60_000) delayMs = backOffMs;
      this.phase = "waiting";
      this.#changed();
      await pause(delayMs, signal);
      if (!this.#isStopping()) this.restarts += 1;
    }
    this.phase = "terminated";
    this.#changed();
  }

  /** SIGTERM after the preStop hook, and SIGKILL when the grace is over. */
  async stop(graceMs: number): Promise<void> {
    const killing = setTimeout(() => this.kill(), graceMs);
    try {
      const { preStop } = this.spec.lifecycle ?? {};
      if (preStop?.exec !== undefined) await this.exec(preStop.exec.command, graceMs);
      if (preStop?.sleep !== undefined)
        await pause(Math.min(1000 * preStop.sleep.seconds, graceMs), AbortSignal.timeout(graceMs));
    } finally {
      this.#stopping.abort();
      this.#signal("SIGTERM");
      await this.#gone();
      clearTimeout(killing);
    }
  }

  kill(): void {
    this.#stopping.abort();
    this.#signal("SIGKILL");
    this.#process?.kill("SIGKILL");
  }

  /** A command inside, as `kubectl exec` runs one. */
  exec(command: readonly string[], timeoutMs: number): Promise<Ended> {
    const inner = this.#innerPid();
    if (inner === undefined) return Promise.resolve({ code: 126, output: "it does not run" });
    const { uid, gid } = this.#user();
    const namespaces = ["--target", String(inner), "--mount", "--uts", "--pid", "--root", "--wd"];
    const limit = ["timeout", "--signal=KILL", String(timeoutMs / 1000)];
    return runCommand("nsenter", [
      ...namespaces,
      "--setuid",
      String(uid),
      "--setgid",
      String(gid),
      "--",
      ...limit,
      "env",
      "-i",
      ...Object.entries(this.#environment()).map(([key, value]) => `${key}=${value}`),
      ...command,
    ]);
  }

  get logFile(): string {
    return join(this.#place.folder, `${this.spec.name}.log`);
  }

  get log(): string {
    return readFileSync(this.logFile, "utf8");
  }

  async #once(): Promise<Exit> {
    const ending = new AbortController();
    this.started = false;
    this.ready = false;
    this.startedAt = new Date().toISOString().replace(/\.\d+Z/, "Z");
    const process = this.#spawn();
    this.#process = process;
    this.phase = "running";
    this.#changed();
    const probing = this.#probe(ending.signal);
    const exit = await new Promise<Exit>((resolve) => {
      process.once("error", () => resolve({ exitCode: 128, signal: 0 }));
      process.once("exit", (code, signal) =>
        resolve({ exitCode: code ?? 137, signal: signal === null ? 0 : 9 }),
      );
    });
    ending.abort();
    await probing;
    this.#process = undefined;
    this.ready = false;
    this.started = false;
    return exit;
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const { startupProbe, livenessProbe, readinessProbe } = this.spec;
    const exec = async (command: readonly string[], timeoutMs: number): Promise<boolean> =>
      (await this.exec(command, timeoutMs)).code === 0;
    const attempt = (what: typeof startupProbe) => (): Promise<boolean> =>
      what === undefined ? Promise.resolve(true) : probe(what, this.spec, this.#place.podIP, exec);
    const restart = (): void => this.#restart();

    if (startupProbe !== undefined) {
      const up = new AbortController();
      const either = AbortSignal.any([signal, up.signal]);
      const heard = (good: boolean): void => (good ? up.abort() : restart());
      await watchProbe(startupProbe, attempt(startupProbe), heard, either);
      if (signal.aborted) return;
    }
    this.started = true;
    this.ready = readinessProbe === undefined;
    this.#changed();
    const readiness = (good: boolean): void => {
      this.ready = good;
      this.#changed();
    };
    const liveness = (good: boolean): void => (good ? undefined : restart());
    await Promise.all([
      readinessProbe && watchProbe(readinessProbe, attempt(readinessProbe), readiness, signal),
      livenessProbe && watchProbe(livenessProbe, attempt(livenessProbe), liveness, signal),
    ]);
  }

  /** What a failed probe leads to: an ordinary end, then the restart policy. */
  #restart(): void {
    this.#signal("SIGTERM");
    const process = this.#process;
    setTimeout(() => {
      if (process === this.#process) this.#signal("SIGKILL");
    }, 10_000).unref();
  }

  #spawn(): ChildProcess {
    const { folder, image, mounts, pod } = this.#place;
    const root = join(folder, `${this.spec.name}.root`);
    mkdirSync(root, { recursive: true });
    const list = join(folder, `${this.spec.name}.mounts`);
    const line = ({ source, target, writable }: Mount): string =>
      `${writable ? "rw" : "ro"} ${source} ${target}\n`;
    writeFileSync(list, [...image.mounts, ...mounts].map(line).join(""));

    const environment = this.#environment();
    const filled = (texts: readonly string[]): string[] =>
      texts.map((text) => expand(text, environment));
    const command = [...filled(this.spec.command ?? image.entry), ...filled(this.spec.args ?? [])];
    const { uid, gid, groups } = this.#user();
    const access = this.#securityOf("readOnlyRootFilesystem") === true ? "ro" : "rw";
    const namespaces = ["--mount", "--uts", "--pid", "--fork", "--kill-child"];
    const host = pod.spec.hostname ?? pod.metadata.name;
    const user = [String(uid), String(gid), groups.join(",")];
    const log = openSync(this.logFile, "a");
    try {
      return spawn(
        "/usr/bin/setpriv",
        // The containers of a test that is killed end with it.
        [
          "--pdeathsig",
          "KILL",
          "unshare",
          ...namespaces,
          enter,
          root,
          list,
          host,
          this.spec.workingDir ?? "/",
          ...user,
          access,
          ...command,
        ],
        { env: environment, stdio: ["ignore", log, log] },
      );
    } finally {
      closeSync(log);
    }
  }

  #environment(): Record<string, string> {
    return { PATH: searchPath, HOME: "/", ...this.#place.environment };
  }

  #user(): { readonly uid: number; readonly gid: number; readonly groups: readonly number[] } {
    const uid = this.#securityOf("runAsUser") ?? 0;
    const gid = this.#securityOf("runAsGroup") ?? 0;
    const { fsGroup, supplementalGroups = [] } = this.#place.pod.spec.securityContext ?? {};
    return {
      uid,
      gid,
      groups: [gid, ...supplementalGroups, ...(fsGroup === undefined ? [] : [fsGroup])],
    };
  }

  #securityOf<K extends "runAsUser" | "runAsGroup" | "readOnlyRootFilesystem">(
    key: K,
  ): SecurityContext[K] | undefined {
    return this.spec.securityContext?.[key] ?? this.#place.pod.spec.securityContext?.[key];
  }

  /** The container's first process: the only child of `unshare`. */
  #innerPid(): number | undefined {
    const outer = this.#process?.pid;
    if (outer === undefined) return undefined;
    try {
      const pid = Number(readFileSync(`/proc/${outer}/task/${outer}/children`, "utf8").trim());
      return pid > 0 ? pid : undefined;
    } catch {
      return undefined;
    }
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#innerPid();
    try {
      if (pid !== undefined) process.kill(pid, signal);
    } catch {
      // It has just ended.
    }
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #gone(): Promise<void> {
    const process = this.#process;
    if (process === undefined || process.exitCode !== null || process.signalCode !== null) return;
    await new Promise((resolve) => process.once("exit", resolve));
  }
}
