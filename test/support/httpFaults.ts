import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import { once } from "node:events";

export type Fault =
  | "none"
  /** Takes a request and never answers. */
  | "stall"
  /** Answers what would store something as a server whose disk is full does. */
  | "full"
  /** Breaks an answer off in the middle, once. */
  | "cut"
  /** Cuts every connection. */
  | "drop"
  /** Carries out what makes an object appear, and cuts the connection in place of its answer, once. */
  | "lose"
  /** Refuses the headers of checksums, as some servers do. */
  | "no-checksums";

/** Stands before a real HTTP server and does to its requests what networks and disks do. */
export class HttpFaults {
  fault: Fault = "none";
  /** Methods and paths, in order. */
  readonly seen: string[] = [];
  /** Headers that do not reach the server. */
  readonly dropped = new Set<string>();
  /** A path that the server is behind. */
  path = "";
  /** What becomes of an answer's text. */
  rewrite: ((text: string) => string) | undefined;
  /** The server of the tests completes an upload twice, and Amazon's does not. */
  #completed = "";
  readonly #server;
  readonly #target: number;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((incoming, outgoing) => this.#handle(incoming, outgoing));
  }

  static async before(target: number): Promise<HttpFaults> {
    const faults = new HttpFaults(target);
    faults.#server.listen(0, "127.0.0.1");
    await once(faults.#server, "listening");
    return faults;
  }

  get endpoint(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("it does not listen");
    return `http://127.0.0.1:${address.port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #handle(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method = "", url = "" } = incoming;
    const headers = Object.fromEntries(
      Object.entries(incoming.headers).filter(([name]) => !this.dropped.has(name)),
    );
    this.seen.push(`${method} ${url}`);
    if (this.fault === "stall") return;
    if (this.fault === "drop") {
      incoming.socket.destroy();
      return;
    }
    if (this.fault === "full" && method === "PUT")
      return refuse(incoming, outgoing, 507, "InsufficientStorage", "full");
    if (!url.startsWith(this.path))
      return refuse(incoming, outgoing, 404, "NoSuchBucket", "it is behind a path");
    const hasChecksum = Object.keys(headers).some((name) =>
      /^x-amz-(checksum-|sdk-checksum)/.test(name),
    );
    if (this.fault === "no-checksums" && hasChecksum)
      return refuse(incoming, outgoing, 400, "InvalidArgument", "Unsupported header");
    const finishes = method === "PUT" ? !url.includes("partNumber=") : url.includes("uploadId=");
    if (method === "POST" && this.#completed === url)
      return refuse(incoming, outgoing, 404, "NoSuchUpload", "it was completed");
    const isLost = this.fault === "lose" && finishes && method !== "DELETE";
    if (isLost) {
      this.fault = "none";
      this.#completed = url;
    }
    const isCut = this.fault === "cut" && method === "GET";
    if (isCut) this.fault = "none";
    const path = url.slice(this.path.length);
    const options = { host: "127.0.0.1", port: this.#target, method, path, headers };
    const forwarded = request(options, (answer) => {
      if (isLost) {
        answer.resume();
        answer.on("end", () => outgoing.destroy());
        return;
      }
      if (this.rewrite !== undefined) return void rewritten(answer, outgoing, this.rewrite);
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      if (!isCut) answer.pipe(outgoing);
      else
        answer.once("data", (bytes: Buffer) => {
          outgoing.write(bytes.subarray(0, bytes.length >> 1));
          setTimeout(() => outgoing.destroy(), 50);
        });
    });
    forwarded.on("error", () => outgoing.destroy());
    outgoing.on("close", () => forwarded.destroy());
    incoming.pipe(forwarded);
  }
}

function refuse(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  status: number,
  code: string,
  message: string,
): void {
  incoming.resume();
  incoming.on("end", () => {
    outgoing.writeHead(status, { "content-type": "application/xml" });
    outgoing.end(`<Error><Code>${code}</Code><Message>${message}</Message></Error>`);
  });
}

async function rewritten(
  answer: IncomingMessage,
  outgoing: ServerResponse,
  rewrite: (text: string) => string,
): Promise<void> {
  const parts: Uint8Array[] = [];
  for await (const part of answer) if (part instanceof Uint8Array) parts.push(part);
  const { headers } = answer;
  delete headers["content-length"];
  outgoing.writeHead(answer.statusCode ?? 500, headers);
  outgoing.end(rewrite(Buffer.concat(parts).toString()));
}
