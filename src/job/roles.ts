/** Who may call what. A token stands for a name and a role; what a call needs is the least role that may make it. */

export const roles = ["viewer", "submitter", "worker", "admin"] as const;
export type Role = (typeof roles)[number];

export interface Caller {
  readonly name: string;
  readonly role: Role;
}

/** The callers that are known now. */
export interface Callers {
  find(token: string): Caller | undefined;
  /** Told when a token may have come, gone or got another role. Returns how to hear no more of it. */
  onChange(listener: () => void): () => void;
}

/** What is called, as a refusal names it, and the least role that may. */
export interface Call {
  readonly name: string;
  readonly role: Role;
}

export interface Refusal {
  /** `unknown`: nobody is known by this token. `forbidden`: somebody is, who may not. */
  readonly kind: "unknown" | "forbidden";
  readonly sentence: string;
}

/** A viewer's rights are a submitter's too, and a submitter's an admin's. A worker has only its own; an admin has these too. */
export function mayCall(role: Role, needed: Role): boolean {
  if (role === "admin") return true;
  if (role === "worker" || needed === "worker") return role === needed;
  return roles.indexOf(role) >= roles.indexOf(needed);
}

/** Whose token the header `Bearer TOKEN` has; undefined where nobody is known by it. */
export function callerOf(callers: Callers, authorization: string | undefined): Caller | undefined {
  const token = /^Bearer (\S+)$/i.exec(authorization ?? "")?.[1];
  return token === undefined ? undefined : callers.find(token);
}

/** undefined: the call may go on. `authorization` is the header, `Bearer TOKEN`. */
export function refusalOf(
  callers: Callers,
  authorization: string | undefined,
  call: Call,
): Refusal | undefined {
  if (authorization === undefined) return { kind: "unknown", sentence: "none was given" };
  const caller = callerOf(callers, authorization);
  if (caller === undefined) return { kind: "unknown", sentence: "it is not the right one" };
  if (mayCall(caller.role, call.role)) return undefined;
  const { name, role } = caller;
  return {
    kind: "forbidden",
    sentence: `the token "${name}" has the role ${role}, but ${call.name} needs the role ${call.role}`,
  };
}
