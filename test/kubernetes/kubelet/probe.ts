import { request as http } from "node:http";
import { request as https } from "node:https";
import { connect } from "node:net";

import type { Container, Probe } from "../objects.js";

export type Exec = (command: readonly string[], timeoutMs: number) => Promise<boolean>;

/** Whether one try of a probe succeeds. */
export async function probe(
  what: Probe,
  container: Container,
  podIP: string,
  exec: Exec,
): Promise<boolean> {
  const timeoutMs = 1000 * (what.timeoutSeconds ?? 1);
  if (what.exec !== undefined) return exec(what.exec.command, timeoutMs);
  const port = (named: number | string): number =>
    typeof named === "number"
      ? named
      : (container.ports?.find(({ name }) => name === named)?.containerPort ?? 0);
  if (what.tcpSocket !== undefined)
    return connects(what.tcpSocket.host ?? podIP, port(what.tcpSocket.port), timeoutMs);
  const { httpGet } = what;
  if (httpGet === undefined)
    throw new Error(`${container.name} has a probe of a kind not known here`);
  return answers(httpGet, httpGet.host ?? podIP, port(httpGet.port), timeoutMs);
}

function connects(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: timeoutMs });
    const end = (good: boolean): void => {
      socket.destroy();
      resolve(good);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}

function answers(
  { path = "/", scheme = "HTTP", httpHeaders = [] }: NonNullable<Probe["httpGet"]>,
  host: string,
  port: number,
  timeoutMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = Object.fromEntries(httpHeaders.map(({ name, value }) => [name, value]));
    const target = { host, port, path, headers, signal: AbortSignal.timeout(timeoutMs) };
    // A kubelet does not check certificates either.
    const call =
      scheme === "HTTPS" ? https({ ...target, rejectUnauthorized: false }) : http(target);
    call.once("error", () => resolve(false));
    call.once("response", (response) => {
      response.once("error", () => resolve(false));
      response.resume();
      const { statusCode = 0 } = response;
      resolve(statusCode >= 200 && statusCode < 400);
    });
    call.end();
  });
}

/** Tries a probe at its period until the signal and tells each change that its thresholds make of it. */
export async function watchProbe(
  what: Probe,
  attempt: () => Promise<boolean>,
  tell: (good: boolean) => void,
  signal: AbortSignal,
): Promise<void> {
  await pause(1000 * (what.initialDelaySeconds ?? 0), signal);
  let row = 0;
  let last: boolean | undefined;
  while (!signal.aborted) {
    const good = await attempt();
    row = good === last ? row + 1 : 1;
    last = good;
    const threshold = good ? (what.successThreshold ?? 1) : (what.failureThreshold ?? 3);
    if (row === threshold && !isAborted(signal)) tell(good);
    await pause(1000 * (what.periodSeconds ?? 10), signal);
  }
}

function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}

export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
