/** The scale of one StatefulSet behind a real HTTPS server, with a service account's folder for who asks. */
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class ScaleApi {
  /** With key.pem, ca.crt, token and namespace. */
  readonly folder: string;
  port = 0;
  /** The status that every request gets. */
  answer = 200;
  replicas = 1;
  /** Method, path, content type, authorization and body of each request. */
  readonly asked: string[] = [];
  #server: Server | undefined;

  static async start(): Promise<ScaleApi> {
    const api = new ScaleApi(await mkdtemp(join(tmpdir(), "bitfleet-kubernetes-")));
    try {
      await api.#start();
      return api;
    } catch (error) {
      await api.stop();
      throw error;
    }
  }

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** What the environment of a pod says of it. */
  get variables(): Readonly<Record<string, string>> {
    return {
      BITFLEET_SERVICE_ACCOUNT: this.folder,
      KUBERNETES_SERVICE_HOST: "127.0.0.1",
      KUBERNETES_SERVICE_PORT: String(this.port),
    };
  }

  async stop(): Promise<void> {
    const server = this.#server;
    server?.closeAllConnections();
    if (server !== undefined) await new Promise((closed) => server.close(closed));
    await rm(this.folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const { folder } = this;
    const [key, cert] = [join(folder, "key.pem"), join(folder, "ca.crt")];
    const name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    const files = ["-keyout", key, "-out", cert];
    execFileSync("openssl", ["req", "-x509", "-nodes", "-days", "1", ...name, ...curve, ...files], {
      stdio: "ignore",
    });
    await writeFile(join(folder, "token"), "secret\n");
    await writeFile(join(folder, "namespace"), "training");
    const tls = { key: await readFile(key), cert: await readFile(cert) };
    const server = createServer(tls, (request, response) => {
      let body = "";
      request.on("data", (part: Buffer) => (body += part.toString()));
      request.on("end", () => {
        const { method = "", url = "", headers } = request;
        const type = headers["content-type"] ?? "";
        this.asked.push([method, url, type, headers.authorization ?? "", body].join(" "));
        const asked = /"replicas":(\d+)/.exec(body)?.[1];
        if (asked !== undefined && this.answer === 200) this.replicas = Number(asked);
        // As the API does: a zero is left out.
        const spec = this.replicas === 0 ? {} : { replicas: this.replicas };
        response.writeHead(this.answer).end(JSON.stringify({ kind: "Scale", spec }));
      });
    });
    this.#server = server;
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const address = server.address();
    this.port = typeof address === "object" && address !== null ? address.port : 0;
  }
}
