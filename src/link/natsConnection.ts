/**
 * The way to a NATS server, the same for records and for frames: who connects is asked for at every connection, what comes of it
 * is a sentence.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  connect,
  ErrorCode,
  Events,
  NatsError,
  type Authenticator,
  type NatsConnection,
  type Status,
} from "nats";

import type { NatsUser } from "../control/message.js";
import { FailureError, reasonOf } from "../job/problem.js";
import { natsServers } from "../process/natsSettings.js";
import { tlsOptions, tlsProblem, type NatsTls } from "./natsTls.js";

export interface NatsTarget {
  /** Of one server, or of several of one cluster with commas between them. */
  readonly url: string;
  /** Asked at every connection, so that another password is taken up. May not throw. Left out: nobody in particular. */
  readonly login?: () => NatsUser;
  /** Left out: in the clear, or as the server wants it with the CAs of the system. */
  readonly tls?: NatsTls | undefined;
}

export interface NatsDial extends NatsTarget {
  /** Shown by the server's own tools. */
  readonly name: string;
  /** The third ping that is due without an answer ends a half-open connection. */
  readonly pingMs: number;
  /** How long a server may take to appear. Once connected, it is tried for ever. */
  readonly withinMs: number;
}

const dialMs = 2000;
const retryMs = 250;
/** How often it is asked why a lost connection does not come back. */
const tlsLookMs = 2000;

/** FailureError: nobody answers in time, or the server refuses the one who connects. */
export async function dialNats(dial: NatsDial): Promise<NatsConnection> {
  const endsAt = performance.now() + dial.withinMs;
  for (;;) {
    try {
      return await connect({
        servers: [...natsServers(dial.url)],
        authenticator: authenticatorOf(dial),
        ...(dial.tls === undefined ? {} : { tls: tlsOptions(dial.tls, dial.url) }),
        name: dial.name,
        timeout: Math.max(500, Math.min(dialMs, endsAt - performance.now())),
        maxReconnectAttempts: -1,
        reconnectTimeWait: retryMs,
        ignoreAuthErrorAbort: true,
        pingInterval: dial.pingMs,
        maxPingOut: 2,
        noAsyncTraces: true,
      });
    } catch (error) {
      if (error instanceof NatsError && error.isAuthError())
        throw new FailureError(natsRefusal(dial), { cause: error });
      // What is no error of the library's own is one of TLS, or of a socket.
      const isTls = dial.tls !== undefined || !(error instanceof NatsError);
      const reason = isTls ? await tlsReason(dial) : undefined;
      if (reason !== undefined) throw new FailureError(reason, { cause: error });
      if (performance.now() + retryMs >= endsAt)
        throw new FailureError(`cannot reach NATS at ${dial.url}: ${natsReason(error, dial)}`, {
          cause: error,
        });
      await sleep(retryMs);
    }
  }
}

/**
 * Tells, once for every loss, why a connection that was lost does not come back where certificates are why: the library itself
 * tries again without a word.
 */
export async function watchTls(
  connection: NatsConnection,
  target: NatsTarget,
  tell: (sentence: string) => void,
): Promise<void> {
  let looking: NodeJS.Timeout | undefined;
  const look = async (): Promise<void> => {
    const reason = await tlsReason(target);
    if (reason !== undefined && looking !== undefined) tell(reason);
  };
  const end = (): void => {
    clearInterval(looking);
    looking = undefined;
  };
  for await (const { type } of connection.status()) {
    if (type === Events.Disconnect && target.tls !== undefined)
      looking ??= setInterval(() => void look(), tlsLookMs).unref();
    if (type === Events.Reconnect) end();
  }
  end();
}

async function tlsReason({ tls, url }: NatsTarget): Promise<string | undefined> {
  for (const server of natsServers(url)) {
    const problem = await tlsProblem(tls, server);
    if (problem !== undefined) return `cannot reach NATS at ${server}: ${problem}`;
  }
  return undefined;
}

/** Something that the server holds against a connection that stands or is tried again. */
export interface Trouble {
  /** `denied`: a subject, which no other connection changes; `refused`: the one who connects. */
  readonly kind: "denied" | "refused" | "other";
  readonly sentence: string;
}

export function natsTrouble(
  { type, data, permissionContext }: Status,
  target: NatsTarget,
): Trouble | undefined {
  if (type !== Events.Error) return undefined;
  if (permissionContext !== undefined)
    return { kind: "denied", sentence: denial(permissionContext, target) };
  if (data === ErrorCode.AuthorizationViolation || data === ErrorCode.AuthenticationExpired)
    return { kind: "refused", sentence: natsRefusal(target) };
  return { kind: "other", sentence: `NATS at ${target.url}: ${JSON.stringify(data)}` };
}

/** Why a call came to nothing. */
export function natsReason(error: unknown, target: NatsTarget): string {
  if (!(error instanceof NatsError)) return reasonOf(error);
  if (error.permissionContext !== undefined) return denial(error.permissionContext, target);
  return reasons[error.code] ?? error.message;
}

const reasons: Readonly<Record<string, string>> = {
  [ErrorCode.ConnectionRefused]: "connection refused",
  [ErrorCode.Timeout]: "no answer in time",
  [ErrorCode.NoResponders]: "JetStream is not ready",
};

function natsRefusal({ url, login }: NatsTarget): string {
  const { user, secret } = login?.() ?? nobody;
  if (user !== "") return `NATS at ${url} refuses the user "${user}" or its password`;
  return secret === ""
    ? `NATS at ${url} asks for a user or a token, and none was given`
    : `NATS at ${url} refuses the token`;
}

function denial(
  { operation, subject }: { readonly operation: string; readonly subject: string },
  { url, login }: NatsTarget,
): string {
  const { user } = login?.() ?? nobody;
  const who = user === "" ? "its client" : `the user "${user}"`;
  const what = operation === "publish" ? "publish" : "subscribe";
  return `NATS at ${url} does not let ${who} ${what} to ${subject}`;
}

const nobody: NatsUser = { user: "", secret: "" };

function authenticatorOf({ login }: NatsTarget): Authenticator {
  return () => {
    const { user, secret } = login?.() ?? nobody;
    if (user !== "") return { user, pass: secret };
    return secret === "" ? undefined : { auth_token: secret };
  };
}
