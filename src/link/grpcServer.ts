import type { RunningServer, ServerOptions } from "./service.js";
import { FailureError } from "../job/problem.js";

/**
 * Serves clients and workers on one port.
 * ConfigError: a bind address off loopback without a token. FailureError: the port is in use or cannot be bound.
 */
export function startServer(options: ServerOptions): Promise<RunningServer> {
  return Promise.reject(new FailureError(`cannot listen on ${options.host}:${options.port}`));
}
