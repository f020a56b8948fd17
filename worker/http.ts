/**
 * For probes and Prometheus: /healthz says that the supervisor's event loop turns, which no kernel that compiles holds up; /readyz
 * that a coordinator has welcomed this worker; /metrics. No token is asked for, since a kubelet has none and nothing is told but figures.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

import type { Address } from "../src/process/address.js";
import {
  httpOptions,
  replyJson as reply,
  startHttp,
  type RunningHttp,
} from "../src/process/httpServer.js";

export interface WorkerHttpOptions {
  /** Port 0 takes a free one. */
  readonly address: Address;
  /** Why no coordinator counts on this worker; undefined when one does. */
  readonly unready: () => string | undefined;
  readonly metrics: { readonly contentType: string; text(): Promise<string> };
}

/** FailureError: the port is in use or cannot be bound. */
export function serveWorkerHttp(options: WorkerHttpOptions): Promise<RunningHttp> {
  const server = createServer(
    httpOptions,
    (request, response) => void answer(request, response, options),
  );
  return startHttp(server, options.address, "BITFLEET_WORKER_HTTP_PORT");
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
