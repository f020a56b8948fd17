/**
 * For probes, Prometheus and people with curl: /healthz, /readyz, /status and /metrics. Where callers have tokens, the last two ask
 * for a viewer's.
 */
import { constants } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type Server as SecureServer } from "node:https";
import type { Socket } from "node:net";
import { TLSSocket, type SecureContextOptions } from "node:tls";

import { callerOf, refusalOf, type Call, type Callers } from "../src/job/roles.js";
import type { ServerTls } from "../src/link/service.js";
import type { TlsMaterial } from "../src/process/certificates.js";
import {
  httpOptions,
  replyJson as reply,
  startHttp,
  type RunningHttp,
} from "../src/process/httpServer.js";

export interface HttpOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** undefined: no token is asked for. */
  readonly callers: Callers | undefined;
  /** undefined: all goes in the clear. */
  readonly tls?: ServerTls | undefined;
  /** Why this coordinator does not serve; undefined when it does. */
  readonly unready: () => string | undefined;
  /** What /status shows, as JSON. */
  readonly status: () => unknown;
  readonly metrics: () => Promise<Metrics>;
  /** Whether /metrics asks for no token. */
  readonly metricsAreOpen: boolean;
}

export interface Metrics {
  readonly contentType: string;
  readonly text: string;
}

/** What begins no handshake, or does not get on with it, is cut. */
const handshakeMs = 10_000;

/** FailureError: the port is in use or cannot be bound. */
export async function serveHttp(options: HttpOptions): Promise<RunningHttp> {
  const { callers } = options;
  const hasToken = ({ headers }: IncomingMessage): boolean =>
    callers !== undefined && callerOf(callers, headers.authorization) !== undefined;
  return await startHttp(serverOf(options), options, "BITFLEET_HTTP_PORT", hasToken);
}

function serverOf(options: HttpOptions): Server | SecureServer {
  const { tls } = options;
  const onRequest = (request: IncomingMessage, response: ServerResponse): void =>
    answer(request, response, options);
  if (tls === undefined) return createServer(httpOptions, onRequest);
  const contextOf = ({ certificate, key, ca }: TlsMaterial): SecureContextOptions => ({
    ...{ cert: certificate, key, ca },
    // Every connection shows its certificate; no session from before stands in for it.
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
  const { watched, clientCertificates } = tls;
  // Asked for, and demanded only where it matters: a probe has none.
  const asking = { requestCert: clientCertificates, rejectUnauthorized: false };
  const server = createSecureServer(
    { ...httpOptions, ...contextOf(watched.material), ...asking, handshakeTimeout: handshakeMs },
    onRequest,
  );
  watched.onChange((material) => server.setSecureContext(contextOf(material)));
  return server;
}

function answer(request: IncomingMessage, response: ServerResponse, options: HttpOptions): void {
  request.resume();
  const path = (request.url ?? "").split("?", 1)[0];
  if (request.method !== "GET" && request.method !== "HEAD") {
    reply(response, 405, { error: "only GET is answered" });
    return;
  }
  if (path === "/healthz") {
    reply(response, 200, { alive: true });
    return;
  }
  if (path === "/readyz") {
    const reason = options.unready();
    if (reason === undefined) reply(response, 200, { ready: true });
    else reply(response, 503, { ready: false, reason });
    return;
  }
  if (path !== "/status" && path !== "/metrics") {
    reply(response, 404, { error: "there are /healthz, /readyz, /status and /metrics" });
    return;
  }
  const isOpen = path === "/metrics" && options.metricsAreOpen;
  if (!isOpen && options.tls?.clientCertificates === true && !isAuthorized(request.socket)) {
    reply(response, 403, { error: "a client certificate of the fleet's CA is needed" });
    return;
  }
  const wanted = { name: path, role: "viewer" } as const;
  if (!isOpen && !isAdmitted(request, response, options.callers, wanted)) return;
  if (path === "/status") reply(response, 200, options.status());
  else void replyMetrics(response, options.metrics);
}

async function replyMetrics(
  response: ServerResponse,
  metrics: HttpOptions["metrics"],
): Promise<void> {
  try {
    const { contentType, text } = await metrics();
    response.writeHead(200, { "content-type": contentType, "cache-control": "no-store" });
    response.end(text);
  } catch (error) {
    reply(response, 500, { error: String(error) });
  }
}

/** Whether it has shown a certificate, and one that our CA has signed. A resumed session is `authorized` without any. */
function isAuthorized(socket: Socket): boolean {
  return (
    socket instanceof TLSSocket &&
    socket.authorized &&
    socket.getPeerX509Certificate() !== undefined
  );
}

/** Answers those whom it refuses. */
function isAdmitted(
  { headers }: IncomingMessage,
  response: ServerResponse,
  callers: Callers | undefined,
  call: Call,
): boolean {
  const refusal = callers && refusalOf(callers, headers.authorization, call);
  if (refusal?.kind === "unknown") {
    response.setHeader("www-authenticate", "Bearer");
    reply(response, 401, { error: "a wrong token, or none" });
  } else if (refusal !== undefined) reply(response, 403, { error: refusal.sentence });
  return refusal === undefined;
}
