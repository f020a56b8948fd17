/** Who may call what. A token stands for a name and a role; what a call needs is the least role that may make it. */

export const roles = ["viewer", "submitter", "worker", "admin"] as const;
export type Role = (typeof roles)[number];

export interface Caller {
  readonly name: string;
  readonly role: Role;
  /** The ids that its workers may have, each whole or as `PREFIX*`; undefined: any that no other token lists. */
  readonly workers?: readonly string[] | undefined;
}

/** The callers that are known now. */
export interface Callers {
  find(token: string): Caller | undefined;
  /** Why the holder of the token of that name may not be the worker of that id; undefined where it may. */
  whyNotWorker(name: string, workerId: string): string | undefined;
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

/** As `Callers.whyNotWorker`, of those who are known. An id that is listed is for those alone who list it. */
export function whyNotWorker(
  known: readonly Caller[],
  name: string,
  workerId: string,
): string | undefined {
  const lists = ({ workers = [] }: Caller): boolean => workers.some((one) => covers(one, workerId));
  const caller = known.find((one) => one.name === name);
  if (caller === undefined || lists(caller)) return undefined;
  if (caller.workers !== undefined)
    return `the token "${name}" is for workers ${caller.workers.join(", ")}, not for ${workerId}`;
  const other = known.find(lists);
  return other && `the worker id ${workerId} is for the token "${other.name}", not for "${name}"`;
}

/** What an id is made of, then perhaps a `*`. */
export function isWorkerPattern(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z0-9_-]{1,63}\*?$/.test(value);
}

function covers(pattern: string, workerId: string): boolean {
  return pattern.endsWith("*") ? workerId.startsWith(pattern.slice(0, -1)) : workerId === pattern;
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
