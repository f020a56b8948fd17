/** What an HTTP server bears: everybody may connect, few bytes and few seconds are enough for what it is asked. */
import type { Server, ServerOptions } from "node:http";
import type { Server as SecureServer } from "node:https";

export const httpConnectionsMax = 512;
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

export function boundHttp(server: Server | SecureServer): void {
  server.maxConnections = httpConnectionsMax;
  server.maxRequestsPerSocket = 1000;
  server.timeout = idleMs;
}
