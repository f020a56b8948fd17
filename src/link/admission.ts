/** Lets calls in by their token, and puts out those under way whose token has been revoked. */
import { status, type Metadata } from "@grpc/grpc-js";

import { callerOf, refusalOf, type Call, type Callers, type Refusal } from "../job/roles.js";
import type { Arrival } from "./callBounds.js";
import type { CallStatus } from "./status.js";

/** A call that was let in. */
export interface Guest {
  /** Name of its token; empty where none is asked for. */
  readonly caller: string;
  /** Why its token does not let it be the worker of that id; undefined where it does. */
  whyNotWorker(workerId: string): string | undefined;
  /** Why it was put out; undefined while it may stay. */
  readonly revocation: CallStatus | undefined;
  /** Calls back once, when its token allows it no more. */
  onRevoked(listener: (why: CallStatus) => void): void;
  /** The call is over. */
  leave(): void;
}

export type Admission = Guest | CallStatus;

export function isRefused(admission: Admission): admission is CallStatus {
  return "code" in admission;
}

export class Admissions {
  readonly #callers: Callers | undefined;
  readonly #guests = new Set<Visit>();
  readonly #deafen: () => void;

  /** undefined lets everybody in. */
  constructor(callers: Callers | undefined) {
    this.#callers = callers;
    this.#deafen = callers?.onChange(() => this.#review()) ?? ((): void => undefined);
  }

  admit(metadata: Metadata, call: Call): Admission {
    const authorization = authorizationOf(metadata);
    const refusal = this.#callers && refusalOf(this.#callers, authorization, call);
    if (refusal !== undefined) return statusOf(refusal);
    const callers = this.#callers;
    const caller = callers && callerOf(callers, authorization);
    const guest: Visit = new Visit({
      ...{ authorization, call, caller: caller?.name ?? "" },
      whyNotWorker: (id) => caller && callers.whyNotWorker(caller.name, id),
      leave: () => this.#guests.delete(guest),
    });
    this.#guests.add(guest);
    return guest;
  }

  /** Before anything of its message is read. A call that needs no role is refused to nobody. */
  look(metadata: Metadata, call: Call | undefined): Arrival {
    if (this.#callers === undefined) return { refusal: undefined, hasToken: true };
    const authorization = authorizationOf(metadata);
    const refusal = call && refusalOf(this.#callers, authorization, call);
    const hasToken = callerOf(this.#callers, authorization) !== undefined;
    return { refusal: refusal && statusOf(refusal), hasToken };
  }

  close(): void {
    this.#deafen();
  }

  #review(): void {
    if (this.#callers === undefined) return;
    for (const guest of [...this.#guests]) {
      const refusal = refusalOf(this.#callers, guest.authorization, guest.call);
      if (refusal === undefined) continue;
      guest.revoke(
        refusal.kind === "unknown"
          ? { code: status.UNAUTHENTICATED, details: "it was revoked" }
          : statusOf(refusal),
      );
    }
  }
}

interface VisitOptions {
  readonly authorization: string | undefined;
  readonly call: Call;
  readonly caller: string;
  readonly whyNotWorker: (workerId: string) => string | undefined;
  readonly leave: () => void;
}

class Visit implements Guest {
  readonly authorization: string | undefined;
  readonly call: Call;
  readonly caller: string;
  readonly whyNotWorker: (workerId: string) => string | undefined;
  readonly #leave: () => void;
  #listener: ((why: CallStatus) => void) | undefined;
  #revocation: CallStatus | undefined;

  constructor({ authorization, call, caller, whyNotWorker, leave }: VisitOptions) {
    this.authorization = authorization;
    this.call = call;
    this.caller = caller;
    this.whyNotWorker = whyNotWorker;
    this.#leave = leave;
  }

  get revocation(): CallStatus | undefined {
    return this.#revocation;
  }

  onRevoked(listener: (why: CallStatus) => void): void {
    this.#listener = listener;
  }

  leave(): void {
    this.#leave();
  }

  revoke(why: CallStatus): void {
    this.leave();
    this.#revocation = why;
    this.#listener?.(why);
  }
}

function authorizationOf(metadata: Metadata): string | undefined {
  return metadata.get("authorization").map(String)[0];
}

function statusOf({ kind, sentence }: Refusal): CallStatus {
  const code = kind === "unknown" ? status.UNAUTHENTICATED : status.PERMISSION_DENIED;
  return { code, details: sentence };
}
