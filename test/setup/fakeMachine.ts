import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { fakeTool, fakeWheelHashes } from "./fakeTools.js";

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const repository = join(import.meta.dirname, "../..");

/** A machine in a folder: a clone, a home, and a PATH with stand-ins for npm, pip and a compiler. */
export class FakeMachine {
  readonly #folder = mkdtempSync(join(tmpdir(), "bitfleet-machine-"));
  readonly root = join(this.#folder, "clone");
  readonly toolchain = join(this.#folder, "home", ".cache", "bitfleet");
  readonly #bin = join(this.#folder, "bin");
  readonly #log = join(this.#folder, "calls.log");
  readonly #wheels: string;

  /** `wheels` is a folder made by `fakeWheels`; machines may share it. */
  constructor(wheels: string) {
    this.#wheels = wheels;
    mkdirSync(this.#bin);
    mkdirSync(join(this.#folder, "home"));
    symlinkSync(process.execPath, join(this.#bin, "node"));
    for (const name of ["npm", "g++", "python3"]) this.#program(name, fakeTool(name));
    this.forgetCalls();
    this.freshClone();
  }

  dispose(): void {
    rmSync(this.#folder, { recursive: true });
  }

  freshClone(): void {
    rmSync(this.root, { recursive: true, force: true });
    cpSync(join(repository, "deploy", "setup"), join(this.root, "deploy", "setup"), {
      recursive: true,
    });
    this.write("deploy/setup/wheelHashes.mjs", fakeWheelHashes(this.#wheels));
    this.write("package.json", JSON.stringify({ type: "module", bin: { x: "dist/src/a.js" } }));
    this.write("tsconfig.json", "{}");
    this.write("src/a.ts", "export const a = 1;\n");
    this.write("proto/bitfleet/v1/a.proto", 'syntax = "proto3";\n');
    this.lock({});
  }

  lock(more: Readonly<Record<string, unknown>>): void {
    const packages = {
      "": { name: "clone" },
      "node_modules/@tensorflow/tfjs-node-gpu": { version: "4.22.0" },
      ...more,
    };
    this.write("package-lock.json", JSON.stringify({ packages }));
  }

  start(args: readonly string[] = [], env: Readonly<Record<string, string>> = {}): ChildProcess {
    const device = args.includes("--gpu") ? [] : ["--cpu"];
    return this.#node("main.mjs", [...device, ...args], env);
  }

  #node(script: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    const file = join(this.root, "deploy", "setup", script);
    return spawn(process.execPath, [file, ...args], {
      env: {
        PATH: this.#bin,
        HOME: join(this.#folder, "home"),
        FAKE_LOG: this.#log,
        FAKE_WHEELS: this.#wheels,
        ...env,
      },
    });
  }

  async setUp(
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Outcome> {
    return outcome(this.start(args, env));
  }

  /** Runs all checks, as `npm test` does after the set-up. */
  async check(
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Promise<Outcome> {
    return outcome(this.#node("test.mjs", args, env));
  }

  /** What the stand-ins were asked to do, in order. */
  calls(): readonly string[] {
    return readFileSync(this.#log, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  }

  forgetCalls(): void {
    writeFileSync(this.#log, "");
  }

  async waitForCall(call: string): Promise<void> {
    const end = performance.now() + 10_000;
    while (!this.calls().includes(call)) {
      if (performance.now() > end) throw new Error(`no call of ${call} within 10 s`);
      await sleep(10);
    }
  }

  record(): Readonly<Record<string, unknown>> {
    const value: unknown = JSON.parse(this.read("node_modules/.bitfleet/toolchain.json"));
    if (typeof value !== "object" || value === null) throw new Error("the record is no object");
    return { ...value };
  }

  /** Where the addon finds its libraries. */
  linkedTensorflow(): string {
    return readlinkSync(join(this.root, "node_modules/@tensorflow/tfjs-node-gpu/deps/lib"));
  }

  toolchainFiles(): readonly string[] {
    if (!existsSync(this.toolchain)) return [];
    return readdirSync(this.toolchain, { recursive: true, encoding: "utf8" });
  }

  /** Puts a downloaded wheel where an earlier set-up would have left it. */
  keepWheel(requirement: string, content?: string): void {
    const folder = join(this.toolchain, "downloads", requirement);
    mkdirSync(folder, { recursive: true });
    const name = readdirSync(this.#wheels).find((file) => file.startsWith("tensorflow_cpu-")) ?? "";
    writeFileSync(join(folder, name), content ?? readFileSync(join(this.#wheels, name)));
  }

  givenTensorflow(): string {
    const site = join(this.#folder, "site-packages");
    mkdirSync(join(site, "tensorflow_cpu-2.19.1.dist-info"), { recursive: true });
    const wheel =
      readdirSync(this.#wheels).find((file) => file.startsWith("tensorflow_cpu-")) ?? "";
    execFileSync("python3", ["-m", "zipfile", "-e", join(this.#wheels, wheel), site]);
    rmSync(join(site, "tensorflow_cpu-2.21.0.dist-info"), { recursive: true });
    return join(site, "tensorflow");
  }

  natsServerOnPath(answer: string): string {
    return this.#program("nats-server", `console.log(${JSON.stringify(answer)});`);
  }

  remove(tool: string): void {
    rmSync(join(this.#bin, tool));
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), "utf8");
  }

  has(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  write(path: string, content: string): void {
    const file = join(this.root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }

  #program(name: string, script: string): string {
    const file = join(this.#bin, name);
    writeFileSync(file, `#!${process.execPath}\n${script}`);
    chmodSync(file, 0o755);
    return file;
  }
}

async function outcome(child: ChildProcess): Promise<Outcome> {
  const output = { stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (output.stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (output.stderr += text));
  await once(child, "close");
  return { code: child.exitCode, ...output };
}
