import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { anyPort } from "../../src/process/port.js";
import { readToolchain } from "../../src/process/toolchain.js";
import { killChild } from "../support/killChild.js";

/** A real nats-server with JetStream that can be killed and started again on the same port and folder. */
export class NatsProcess {
  readonly folder: string;
  readonly url: string;
  readonly #port: number;
  #process: ChildProcess | undefined;

  /** `authorization`: that part of its configuration. */
  static async start(options: { readonly authorization?: string } = {}): Promise<NatsProcess> {
    const folder = mkdtempSync(join(tmpdir(), "bitfleet-nats-"));
    const nats = new NatsProcess(await anyPort(), folder);
    nats.authorize(options.authorization ?? "");
    await nats.resume();
    return nats;
  }

  /** With the folder's nats.conf, but at a free port. */
  static async inside(folder: string): Promise<NatsProcess> {
    const nats = new NatsProcess(await anyPort(), folder);
    await nats.resume();
    return nats;
  }

  private constructor(port: number, folder: string) {
    this.#port = port;
    this.folder = folder;
    this.url = `nats://127.0.0.1:${port}`;
  }

  /** For its next start. */
  authorize(authorization: string): void {
    const lines = [
      `listen: "127.0.0.1:${this.#port}"`,
      `jetstream { store_dir: "${join(this.folder, "store")}", sync_interval: always }`,
      authorization,
    ];
    writeFileSync(join(this.folder, "nats.conf"), lines.join("\n"));
  }

  async resume(): Promise<void> {
    const args = ["-c", "nats.conf", "-p", String(this.#port)];
    const child = spawn(natsServer(), args, { cwd: this.folder, stdio: "ignore" });
    this.#process = child;
    await once(child, "spawn");
    for (let tries = 0; !(await answers(this.#port)); tries++) {
      if (tries > 100) throw new Error("nats-server did not start");
      await sleep(50);
    }
  }

  /** SIGKILL: what has not reached the disk is lost. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    await killChild(child);
  }

  /** As after `kill`, on a new disk: it comes back empty. */
  async wipe(): Promise<void> {
    await this.kill();
    rmSync(join(this.folder, "store"), { recursive: true, force: true });
    await this.resume();
  }

  /** Copies what it has stored. */
  async backUp(): Promise<void> {
    await this.kill();
    cpSync(join(this.folder, "store"), join(this.folder, "backup"), { recursive: true });
    await this.resume();
  }

  /** As after `kill`, with what it had stored when it was backed up. */
  async putBack(): Promise<void> {
    await this.kill();
    rmSync(join(this.folder, "store"), { recursive: true, force: true });
    cpSync(join(this.folder, "backup"), join(this.folder, "store"), { recursive: true });
    await this.resume();
  }

  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  unpause(): void {
    this.#process?.kill("SIGCONT");
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function natsServer(): string {
  try {
    return readToolchain().natsServer;
  } catch {
    return "nats-server";
  }
}

async function answers(port: number): Promise<boolean> {
  const socket = dial(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
