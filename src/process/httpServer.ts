/** The HTTP servers of coordinator and worker: what they bear, since everybody may connect, and how they start, answer and end. */
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from "node:http";
import type { Server as SecureServer } from "node:https";
import type { Socket } from "node:net";

import { FailureError } from "../job/problem.js";
import { hostPort, type Address } from "./address.js";
import { ConnectionPlaces, type PlaceBounds } from "./connectionPlaces.js";

const connectionsMax = 512;
/** Most of them are kept open by nobody for long; Prometheus, which has a token, keeps its own. */
const places: PlaceBounds = { strangers: 384, silentMs: 15_000 };
const requestMs = 10_000;
/** Nothing is read or written for so long: the other end is gone, or does not read its answer. */
const idleMs = 30_000;

/** For `createServer`. */
export const httpOptions = {
  maxHeaderSize: 8192,
  headersTimeout: requestMs,
  requestTimeout: requestMs,
  // How exact the two above are.
  connectionsCheckingInterval: 1000,
} as const satisfies ServerOptions;

export interface RunningHttp {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * `hasToken`: whether a request has one that is known; without it none is asked for, and connections are all alike. `setting` names the variable that chooses the port, of which 0 takes a free one. FailureError: the port is in use or
 * cannot be bound.
 */
export async function startHttp(
  server: Server | SecureServer,
  address: Address,
  setting: string,
  hasToken: (request: IncomingMessage) => boolean = () => false,
): Promise<RunningHttp> {
  const connections = new ConnectionPlaces(places);
  server.on("connection", (socket: Socket) => connections.enter(socket));
  server.on("request", (request) => connections.heard(request.socket, hasToken(request)));
  server.maxConnections = connectionsMax;
  server.maxRequestsPerSocket = 1000;
  server.timeout = idleMs;
  const port = await listen(server, address, setting);
  return {
    port,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

export function replyJson(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(`${JSON.stringify(body)}\n`);
}

function listen(server: Server | SecureServer, at: Address, setting: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const why =
        error.code === "EADDRINUSE"
          ? `it is in use by another process; choose another ${setting} or stop that process`
          : error.message;
      reject(new FailureError(`cannot listen on ${hostPort(at)} for HTTP: ${why}`));
    });
    server.listen(at.port, at.host, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : at.port);
    });
  });
}
