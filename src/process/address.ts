import { hostname } from "node:os";

import { ConfigError } from "../job/problem.js";

/** Hosts and ports, as people and URLs write them. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** HOST:PORT, with IPv6 hosts in brackets; `name` is the setting that a refusal names. */
export function parseAddress(value: string, name: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(value);
  const host = match?.[1] ?? match?.[2];
  const number = Number(match?.[3] ?? "");
  if (host === undefined || number < 1 || number > 65_535)
    throw new ConfigError(`${name} is "${value}", but must be HOST:PORT with a port of 1 to 65535`);
  return { host, port: number };
}

/** A host as it stands before a colon: IPv6 in brackets. */
export function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** HOST:PORT, with IPv6 hosts in brackets. */
export function hostPort({ host, port }: Address): string {
  return `${bracketed(host)}:${port}`;
}

/** What others call a server that listens on `host`: a wildcard stands for this machine's name. */
export function nameForOthers(host: string): string {
  return host === "0.0.0.0" || host === "::" ? hostname() : host;
}

/** Whether only this machine can reach a server that listens there. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * A server's URL as a worker has to use it: a wildcard host (0.0.0.0, ::) stands for the host under which the worker reaches
 * the coordinator.
 */
export function reachableUrl(url: string, coordinatorHost: string): string {
  const host = bracketed(coordinatorHost);
  return url.replace(/\/\/(0\.0\.0\.0|\[::\])(?=:|$)/, () => `//${host}`);
}
