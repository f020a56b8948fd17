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
  | "drop";

/** Stands before a real HTTP server and does to its requests what networks and disks do. */
export class HttpFaults {
  fault: Fault = "none";
  /** Methods and paths, in order. */
  readonly seen: string[] = [];
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
    const { method = "", url = "", headers } = incoming;
    this.seen.push(`${method} ${url}`);
    if (this.fault === "stall") return;
    if (this.fault === "drop") {
      incoming.socket.destroy();
      return;
    }
    if (this.fault === "full" && method === "PUT") {
      incoming.resume();
      incoming.on("end", () => {
        outgoing.writeHead(507, { "content-type": "application/xml" });
        outgoing.end("<Error><Code>InsufficientStorage</Code><Message>full</Message></Error>");
      });
      return;
    }
    const isCut = this.fault === "cut" && method === "GET";
    if (isCut) this.fault = "none";
    const options = { host: "127.0.0.1", port: this.#target, method, path: url, headers };
    const forwarded = request(options, (answer) => {
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
