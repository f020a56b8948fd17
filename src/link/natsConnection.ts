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
import { FailureError } from "../job/problem.js";

export interface NatsTarget {
  readonly url: string;
  /** Asked at every connection, so that another password is taken up. May not throw. Left out: nobody in particular. */
  readonly login?: () => NatsUser;
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

/** FailureError: nobody answers in time, or the server refuses the one who connects. */
export async function dialNats(dial: NatsDial): Promise<NatsConnection> {
  const endsAt = performance.now() + dial.withinMs;
  for (;;) {
    try {
      return await connect({
        servers: dial.url,
        authenticator: authenticatorOf(dial),
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
      if (performance.now() + retryMs >= endsAt)
        throw new FailureError(`cannot reach NATS at ${dial.url}: ${natsReason(error, dial)}`, {
          cause: error,
        });
      await sleep(retryMs);
    }
  }
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
  if (!(error instanceof NatsError)) return error instanceof Error ? error.message : String(error);
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
