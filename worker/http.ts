/**
 * For probes and Prometheus: /healthz says that the supervisor's event loop turns, which no kernel that compiles holds up; /readyz
 * that a coordinator has welcomed this worker; /metrics. No token is asked for, since a kubelet has none and nothing is told but figures.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

import { FailureError } from "../src/job/problem.js";
import { hostPort, type Address } from "../src/process/address.js";

export interface WorkerHttpOptions {
  /** Port 0 takes a free one. */
  readonly address: Address;
  /** Why no coordinator counts on this worker; undefined when one does. */
  readonly unready: () => string | undefined;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
}

/** FailureError: the port is in use or cannot be bound. */
export async function serveWorkerHttp(
  options: WorkerHttpOptions,
): Promise<{ readonly port: number; close(): Promise<void> }> {
  const server = createServer((request, response) => void answer(request, response, options));
  server.headersTimeout = 10_000;
  server.requestTimeout = 10_000;
  server.maxRequestsPerSocket = 1000;
  const port = await listen(server, options.address);
  return {
    port,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { unready, metrics }: WorkerHttpOptions,
): Promise<void> {
  request.resume();
  if (request.method !== "GET" && request.method !== "HEAD") {
    reply(response, 405, { error: "only GET is answered" });
    return;
  }
  switch ((request.url ?? "").split("?", 1)[0]) {
    case "/healthz":
      reply(response, 200, { alive: true });
      return;
    case "/readyz": {
      const reason = unready();
      if (reason === undefined) reply(response, 200, { ready: true });
      else reply(response, 503, { ready: false, reason });
      return;
    }
    case "/metrics": {
      const text = await metrics.text();
      response.writeHead(200, { "content-type": metrics.contentType, "cache-control": "no-store" });
      response.end(text);
      return;
    }
    default:
      reply(response, 404, { error: "there are /healthz, /readyz and /metrics" });
  }
}

function reply(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(`${JSON.stringify(body)}\n`);
}

function listen(server: Server, address: Address): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why =
        error.code === "EADDRINUSE"
          ? "it is in use by another process; choose another BITFLEET_WORKER_HTTP_PORT"
          : error.message;
      reject(new FailureError(`cannot listen on ${hostPort(address)} for HTTP: ${why}`));
    });
    server.listen(address.port, address.host, () => {
      const bound = server.address();
      resolve(typeof bound === "object" && bound !== null ? bound.port : address.port);
    });
  });
}
