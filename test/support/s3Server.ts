import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { anyPort } from "../../src/process/port.js";
import { toolchainFile } from "../../src/process/toolchain.js";
import type { S3Address } from "../../src/store/s3Address.js";
import { killChild } from "./killChild.js";

export const credentials = { accessKeyId: "testing", secretAccessKey: "testing-secret" };

/** A real S3 server, which keeps what it has in memory, with an empty bucket. */
export class S3Server {
  readonly port: number;
  readonly endpoint: string;
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.port = port;
    this.endpoint = `http://127.0.0.1:${port}`;
  }

  /** `refusing`: requests need credentials of a user that it knows, and it knows none. */
  static async start({ refusing = false } = {}): Promise<S3Server> {
    const server = new S3Server(await anyPort());
    const program =
      `import sys; sys.path.insert(0, ${JSON.stringify(s3ServerFolder())}); ` +
      `from moto.server import main; main(["-H", "127.0.0.1", "-p", "${server.port}"])`;
    const child = spawn("python3", ["-c", program], {
      stdio: "ignore",
      env: { ...process.env, ...(refusing && { INITIAL_NO_AUTH_ACTION_COUNT: "0" }) },
    });
    server.#process = child;
    try {
      for (let tries = 0; !(await answers(server.endpoint)); tries += 1) {
        if (tries > 600 || child.exitCode !== null) throw new Error("the S3 server did not start");
        await sleep(100);
      }
      if (!refusing) await server.addBucket("fleet");
      return server;
    } catch (error) {
      await server.kill();
      throw error;
    }
  }

  address(prefix = ""): S3Address {
    return { bucket: "fleet", prefix, endpoint: this.endpoint, region: "us-east-1" };
  }

  /** What a process needs to store here. */
  environment(prefix = ""): Readonly<Record<string, string>> {
    return {
      BITFLEET_STORE: `s3://fleet${prefix === "" ? "" : `/${prefix}`}`,
      BITFLEET_S3_ENDPOINT: this.endpoint,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    };
  }

  client(): S3Client {
    const { endpoint } = this;
    return new S3Client({ endpoint, forcePathStyle: true, region: "us-east-1", credentials });
  }

  async addBucket(Bucket: string): Promise<void> {
    const client = this.client();
    await client.send(new CreateBucketCommand({ Bucket }));
    client.destroy();
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    await killChild(child);
  }
}

function s3ServerFolder(): string {
  const record: unknown = JSON.parse(readFileSync(toolchainFile(), "utf8"));
  if (typeof record === "object" && record !== null && "s3Server" in record)
    if (typeof record.s3Server === "string") return record.s3Server;
  throw new Error("npm test installs the S3 server of the tests");
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    await fetch(endpoint);
    return true;
  } catch {
    return false;
  }
}
