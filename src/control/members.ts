import type { Origin } from "./fleetEvent.js";
import type { Hello, Member, Transition } from "./fleetState.js";
import type { WorkerEvent } from "./message.js";
import { isNatsSilent } from "./nats.js";
import { countFailure, drop, forgetHolder, strike } from "./participation.js";
import {
  change,
  changeMember,
  changeRun,
  emit,
  focus,
  forEach,
  runOf,
  runWith,
  send,
  withEntry,
  withMember,
  withoutKey,
} from "./transition.js";

/**
 * Who is there. A worker is a member from its `hello` until its lease runs out, its stream is gone
 * for too long, or it leaves. Only what is said by the incarnation that holds the name is heard.
 */

const ownNames = "workers that live at once need names of their own (--id)";

/** How many former processes of a name are remembered. */
const supersededMax = 16;

/**
 * A stream's first event, already checked for its term. A name is its process' as long as that is
 * not lost: another one is put off until then, and told to end where the first turns out to be
 * alive. Who lost the name to a newer one is told to end: they would take it from each other for
 * ever. And a name that is known is its token's.
 */
export function register(t: Transition, hello: Hello, origin: Origin): Transition {
  const { workerId, incarnation } = hello;
  const known = t.fleet.members.get(workerId);
  if (known !== undefined && isAnothers(known, origin)) return turnDown(t, hello, known);
  if (known?.superseded.includes(incarnation) === true) {
    return refuse(t, hello, `a newer process has the name ${workerId}; ${ownNames}`);
  }
  const isNew = known !== undefined && known.incarnation !== incarnation;
  if (isNew && known.link.kind !== "lost") return putOff(t, known, incarnation);
  const isOneMore = known === undefined || known.link.kind === "lost";
  const tooMany = isOneMore ? excess(t, origin) : undefined;
  if (tooMany !== undefined)
    return emit(t, { kind: "close", workerId, incarnation, reason: tooMany });
  // Nobody waits for what the process before may have held: it is told to end where it lives.
  const so = known === undefined ? withRoom(t, origin) : isNew ? forgetHolder(t, workerId) : t;
  const superseded = isNew ? [...known.superseded, known.incarnation] : (known?.superseded ?? []);
  const back = known?.incarnation === incarnation && known.link.kind !== "lost";
  const member: Member = {
    workerId,
    incarnation,
    hello,
    origin,
    link: { kind: "connected" },
    heardMs: t.fleet.clock.awakeMs,
    beat: back ? known.beat : undefined,
    beatMs: back ? known.beatMs : 0,
    natsSilentMs: undefined,
    closing: back ? known.closing : undefined,
    leaving: back ? known.leaving : undefined,
    spare: "",
    superseded: superseded.slice(-supersededMax),
    rival: back ? known.rival : undefined,
  };
  const { leaseMs, beatMs, nats, store } = t.fleet.options;
  return send(change(so, { members: withEntry(so.fleet.members, workerId, member) }), workerId, {
    kind: "welcome",
    leaseMs,
    beatMs,
    nats,
    store,
  });
}

function refuse(
  t: Transition,
  { workerId, incarnation }: { readonly workerId: string; readonly incarnation: string },
  reason: string,
): Transition {
  return emit(t, {
    ...{ kind: "send", workerId, incarnation, command: { kind: "refuse", reason } },
  });
}

/** A name is open to all again once its token is no more, or it is forgotten. */
function isAnothers({ origin }: Member, { token }: Origin): boolean {
  return origin.token !== token && origin.token !== "";
}

function turnDown(t: Transition, hello: Hello, { origin, link }: Member): Transition {
  const { workerId, incarnation } = hello;
  const reason = `the name ${workerId} is of a worker with the token "${origin.token}"; ${ownNames}`;
  // One that is lost will be forgotten: who may have its name then need not end.
  return link.kind === "lost"
    ? emit(t, { kind: "close", workerId, incarnation, reason })
    : refuse(t, hello, reason);
}

/** Within these times the process that has the name is heard of, or lost. */
function putOff(t: Transition, known: Member, incarnation: string): Transition {
  const { workerId } = known;
  const { clock, options } = t.fleet;
  const rival =
    known.rival?.incarnation === incarnation
      ? known.rival
      : { incarnation, sinceMs: clock.awakeMs };
  const so = changeMember(t, workerId, { rival });
  if (clock.awakeMs - rival.sinceMs > options.leaseMs + options.reconnectMs) {
    const reason = `another process has the name ${workerId}, and is alive; ${ownNames}`;
    return refuse(so, { workerId, incarnation }, reason);
  }
  const reason = `the process that had the name ${workerId} before is not known to have ended yet`;
  return emit(so, { kind: "close", workerId, incarnation, reason });
}

/** Why no more workers of that token are taken on. */
function excess({ fleet }: Transition, { token }: Origin): string | undefined {
  const live = [...fleet.members.values()].filter(
    ({ origin, link }) => origin.token === token && link.kind !== "lost",
  );
  if (live.length < fleet.options.liveMax) return undefined;
  const whose = token === "" ? "" : ` with the token "${token}"`;
  return `${live.length} workers${whose} are members, and more are not taken on`;
}

/** Forgets who of that token was lost first, where too many are known. */
function withRoom(t: Transition, { token }: Origin): Transition {
  const { members, options } = t.fleet;
  const known = [...members.values()].filter(({ origin }) => origin.token === token);
  if (known.length < options.knownMax) return t;
  const sinceOf = ({ link }: Member): number => (link.kind === "lost" ? link.sinceMs : Infinity);
  const [first] = known.toSorted((a, b) => sinceOf(a) - sinceOf(b));
  return first?.link.kind === "lost"
    ? change(t, { members: withoutKey(members, first.workerId) })
    : t;
}

/** The token is no more: another one may have the names of its workers. */
export function disown(t: Transition, token: string): Transition {
  return forEach(t, t.fleet.members.values(), (so, { workerId, origin }) =>
    origin.token === token ? changeMember(so, workerId, { origin: { ...origin, token: "" } }) : so,
  );
}

/** The member of that name, if it is this incarnation of it and not lost. */
export function present(
  t: Transition,
  source: { readonly workerId: string; readonly incarnation: string },
): Member | undefined {
  const member = t.fleet.members.get(source.workerId);
  return member?.incarnation === source.incarnation && member.link.kind !== "lost"
    ? member
    : undefined;
}

/** Whatever a worker says extends its lease. */
export function heard(t: Transition, member: Member, event: WorkerEvent): Transition {
  const heardMs = t.fleet.clock.awakeMs;
  if (event.kind !== "beat") return withMember(t, { ...member, heardMs });
  const natsSilentMs = isNatsSilent(event) ? (member.natsSilentMs ?? heardMs) : undefined;
  return withMember(t, { ...member, heardMs, beat: event, beatMs: heardMs, natsSilentMs });
}

export function disconnected(t: Transition, workerId: string): Transition {
  return changeMember(t, workerId, {
    link: { kind: "disconnected", sinceMs: t.fleet.clock.awakeMs },
  });
}

/** Ends a membership. `mayReturn`: the process may still be alive with the state that it holds. */
export function lose(
  t: Transition,
  workerId: string,
  reason: string,
  mayReturn: boolean,
): Transition {
  const member = t.fleet.members.get(workerId);
  if (member === undefined || member.link.kind === "lost") return t;
  const known = mayReturn ? t : forgetHolder(t, workerId);
  const run = runWith(known.fleet, workerId);
  const dropped =
    run === undefined
      ? known
      : focus(known, run.job, (so) => drop(so, workerId, reason, mayReturn));
  const closed =
    member.link.kind === "connected"
      ? emit(dropped, { kind: "close", workerId, incarnation: member.incarnation, reason })
      : dropped;
  return changeMember(closed, workerId, {
    link: { kind: "lost", sinceMs: t.fleet.clock.awakeMs, reason },
    closing: undefined,
  });
}

/**
 * Loses a worker that gets nowhere; it may try again with a new child. It may be slow and not stuck: where nobody else
 * holds the state, its own is of use.
 */
export function giveUp(t: Transition, workerId: string, reason: string): Transition {
  const member = t.fleet.members.get(workerId);
  if (member === undefined) return t;
  return lose(countFailure(t, member, reason), workerId, reason, true);
}

/** Loses a worker whose state is of no use to anybody. */
export function giveUpState(t: Transition, workerId: string, reason: string): Transition {
  const member = t.fleet.members.get(workerId);
  if (member === undefined) return t;
  const givenUp = new Set([...runOf(t).givenUp, member.incarnation]);
  return lose(strike(changeRun(t, { givenUp }), member, reason), workerId, reason, false);
}

/** Loses a worker that said what cannot be: nothing of it counts. */
export function expose(t: Transition, { workerId }: Member, lie: string): Transition {
  const told = tellLie(t, workerId, lie);
  const run = runWith(told.fleet, workerId);
  return run === undefined
    ? lose(told, workerId, lie, false)
    : focus(told, run.job, (so) => giveUp(so, workerId, lie));
}

/** As `expose` for a stream's first event, which makes nobody a member then. */
export function turnAway(
  t: Transition,
  { workerId, incarnation }: Member["hello"],
  lie: string,
): Transition {
  return emit(tellLie(t, workerId, lie), { kind: "close", workerId, incarnation, reason: lie });
}

function tellLie(t: Transition, worker: string, lie: string): Transition {
  const message = `${worker} is not believed, and its stream is closed: ${lie}`;
  return emit(t, { kind: "log", job: "", level: "error", message, fields: { worker } });
}

/** Loses those whose time is over, and forgets those lost long ago. */
export function expire(t: Transition): Transition {
  return forEach(t, t.fleet.members.values(), (so, member) => {
    if (member.link.kind === "lost") {
      return so.fleet.clock.awakeMs - member.link.sinceMs >= so.fleet.options.forgetMs
        ? change(so, { members: withoutKey(so.fleet.members, member.workerId) })
        : so;
    }
    const reason = expiry(so, member);
    return reason === undefined ? so : lose(so, member.workerId, reason, true);
  });
}

function expiry({ fleet }: Transition, { link, heardMs, closing }: Member): string | undefined {
  const { leaseMs, reconnectMs, releaseMs } = fleet.options;
  const now = fleet.clock.awakeMs;
  if (link.kind === "disconnected" && now - link.sinceMs >= reconnectMs) {
    return `its stream ended and it did not come back within ${reconnectMs} ms`;
  }
  if (now - heardMs >= leaseMs) return `it was silent for ${leaseMs} ms`;
  if (closing !== undefined && now - closing.sinceMs >= releaseMs) {
    return `it did not end its work on ${closing.job} within ${releaseMs} ms`;
  }
  return undefined;
}
