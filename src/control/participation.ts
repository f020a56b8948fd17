import type { Fleet, Following, Member, Phase, Run, Stage, Transition } from "./fleetState.js";
import { plural } from "../job/plural.js";
import type { JobOrder } from "./message.js";
import type { JobRecord } from "./record.js";
import { remembered } from "./remembered.js";
import {
  changeMember,
  changeRun,
  enter,
  focus,
  forEach,
  log,
  note,
  recordNamed,
  recordOf,
  runOf,
  runWith,
  send,
  withEntry,
  withoutKey,
} from "./transition.js";
import { workersMax } from "./work.js";

/**
 * Who may take part in a job: workers of its arithmetic, no more than it has shards. All others
 * wait as spares and are told why. Who is asked to is decided in schedule.ts.
 */

/** How often a worker whose child failed is asked again at once in one run. */
const strikesMax = 3;
/** After more than that, and where it was set aside for a while, it has to wait: each time twice as long. */
const firstBackoffMs = 30_000;
const lastBackoffMs = 600_000;
/** A failure so long ago does not count any more. */
const strikeKeptMs = 600_000;

/** Connected to stay, and with no child of any job. */
export function isIdle(fleet: Fleet, { workerId, link, closing, leaving }: Member): boolean {
  return (
    link.kind === "connected" &&
    closing === undefined &&
    leaving === undefined &&
    runWith(fleet, workerId) === undefined
  );
}

/** Those who follow the members of a run, in the order of their ids. */
export function followersOf(
  run: Run,
): readonly { readonly workerId: string; readonly stage: Following }[] {
  return [...run.participants.values()]
    .flatMap(({ workerId, stage }) => (stage.kind === "following" ? { workerId, stage } : []))
    .toSorted((a, b) => (a.workerId < b.workerId ? -1 : 1));
}

/** Why the worker may not take part in the job; undefined if it may. */
export function unfit(fleet: Fleet, job: string, member: Member): string | undefined {
  const record = recordNamed(fleet, job);
  const run = fleet.runs.get(job);
  const own =
    run === undefined ? undefined : (hasStruckOut(fleet, run, member) ?? whySetAside(run, member));
  const reason = own ?? foreign(record, member);
  if (reason !== undefined) return reason;
  const most = workersMax(record);
  return run !== undefined && run.participants.size >= most
    ? `${job} has ${plural(most, "shard")}, one for each of as many workers`
    : undefined;
}

/** Why it is not asked again for now, after failures of its own; undefined if it may be. */
export function hasStruckOut(fleet: Fleet, run: Run, { workerId }: Member): string | undefined {
  const strikes = run.strikes.get(workerId);
  if (strikes === undefined || fleet.clock.awakeMs >= strikes.untilMs) return undefined;
  const { count, message, atMs, untilMs } = strikes;
  const times = count === 1 ? "once" : `${count} times`;
  return `it failed ${times}: ${message}; it is asked again after ${Math.round((untilMs - atMs) / 1000)} s`;
}

/** Whether it has failed so often that waiting for it makes little sense. */
export function isBeyondBudget(fleet: Fleet, run: Run, member: Member): boolean {
  const { count = 0 } = run.strikes.get(member.workerId) ?? {};
  return count > strikesMax && hasStruckOut(fleet, run, member) !== undefined;
}

function whySetAside(run: Run, { incarnation }: Member): string | undefined {
  const distrust = run.distrusted.get(incarnation);
  if (distrust !== undefined) return distrust;
  return run.setAside.get(incarnation);
}

/** The time that a worker waits before it is asked for the time `count` that it has to wait. */
function backoffMs(count: number): number {
  return Math.min(lastBackoffMs, firstBackoffMs * 2 ** (count - 1));
}

/** Why the worker's arithmetic keeps it out; undefined if it does not. */
export function foreign(record: JobRecord, { hello }: Member): string | undefined {
  const { pin, name, plan } = record;
  if (pin === undefined || pin.numerics === hello.numerics || plan.settings.mixedDevices) {
    return undefined;
  }
  return `${name} goes on with the arithmetic of "${pin.numerics}", and this worker's is "${hello.numerics}"`;
}

function probeMismatch(record: JobRecord, probe: string): string | undefined {
  const { pin, name, plan } = record;
  if (pin === undefined || plan.settings.mixedDevices || pin.probe === probe) return undefined;
  return `its probe for ${name} gave ${probe}, and the job is pinned to ${pin.probe}`;
}

/** Why arithmetic or probe of a worker that is ready keep it out; undefined if they do not. */
export function whyNot(t: Transition, workerId: string, probe: string): string | undefined {
  const record = recordOf(t);
  const member = t.fleet.members.get(workerId);
  const reason = member === undefined ? undefined : foreign(record, member);
  return reason ?? probeMismatch(record, probe);
}

/** Sends (or repeats) the order to get ready. */
export function sendPrepare(t: Transition, workerId: string): Transition {
  return send(t, workerId, { kind: "prepare", order: orderOf(recordOf(t)) });
}

/** Has the worker end its child; it takes no part from now on. */
export function release(t: Transition, workerId: string, reason: string): Transition {
  const run = runOf(t);
  return close(
    changeRun(t, {
      participants: withoutKey(run.participants, workerId),
      yields: withoutKey(run.yields, workerId),
    }),
    workerId,
    run.job,
    reason,
  );
}

export function releaseAll(t: Transition, reason: string): Transition {
  return forEach(t, runOf(t).participants.keys(), (so, workerId) => release(so, workerId, reason));
}

/** Has the worker end a child, also one of a job that is not under way. */
export function close(t: Transition, workerId: string, job: string, reason: string): Transition {
  const sinceMs = t.fleet.clock.awakeMs;
  const known = t.fleet.runs.has(job) ? focus(t, job, (so) => forgetMayReturn(so, workerId)) : t;
  return send(changeMember(known, workerId, { closing: { job, reason, sinceMs } }), workerId, {
    kind: "release",
    job,
    reason,
  });
}

/** Releases a worker that may not take part in this attempt again. */
export function setAside(t: Transition, workerId: string, reason: string): Transition {
  const { setAside: before } = runOf(t);
  const incarnation = t.fleet.members.get(workerId)?.incarnation ?? "";
  return release(
    changeRun(t, { setAside: withEntry(before, incarnation, reason) }),
    workerId,
    reason,
  );
}

/** Releases a worker for something that may not happen again; it is asked again later. */
export function setAsideForAWhile(t: Transition, workerId: string, reason: string): Transition {
  const released = release(t, workerId, reason);
  const { step } = recordOf(t);
  return countStrike(
    log(released, "warn", `${workerId} is set aside: ${reason}`, { worker: workerId, step }),
    workerId,
    reason,
    0,
  );
}

/** Releases a worker that computed wrongly: it takes no part in any attempt of this run. */
export function distrust(t: Transition, workerId: string, reason: string): Transition {
  const incarnation = t.fleet.members.get(workerId)?.incarnation ?? "";
  const { distrusted, participants } = runOf(t);
  const known = changeRun(t, { distrusted: withEntry(distrusted, incarnation, reason) });
  return participants.has(workerId) ? release(known, workerId, reason) : known;
}

/** The worker's child is gone, or out of reach. `mayReturn`: it may still hold the state. */
export function drop(
  t: Transition,
  workerId: string,
  reason: string,
  mayReturn: boolean,
): Transition {
  const run = runOf(t);
  const participant = run.participants.get(workerId);
  if (participant === undefined) return t;
  const dropped = changeRun(t, {
    participants: withoutKey(run.participants, workerId),
    yields: withoutKey(run.yields, workerId),
    phase: mayReturn ? run.phase : withoutHolder(run.phase, workerId),
  });
  const isHolder = participant.stage.kind === "member" || participant.stage.kind === "reserve";
  const noted = mayReturn && isHolder ? noteMayReturn(dropped, workerId) : dropped;
  return log(noted, "warn", `${workerId} is lost: ${reason}`, {
    worker: workerId,
    step: recordOf(t).step,
  });
}

function noteMayReturn(t: Transition, workerId: string): Transition {
  const others = recordOf(t).mayReturn.filter((id) => id !== workerId);
  return note(t, { mayReturn: [...others, workerId] });
}

/** A recovery does not wait for who will not come back with the state. */
export function withoutHolder(phase: Phase, workerId: string): Phase {
  if (phase.kind !== "recovering") return phase;
  if (phase.awaited?.has(workerId) !== true && !phase.holders.has(workerId)) return phase;
  const awaited = phase.awaited && new Set([...phase.awaited].filter((id) => id !== workerId));
  return { ...phase, awaited, holders: withoutKey(phase.holders, workerId) };
}

/** The process is known to be gone: no job waits for what it held. */
export function forgetHolder(t: Transition, workerId: string): Transition {
  return forEach(t, t.fleet.runs.keys(), (next, job) =>
    focus(next, job, (so) => {
      const known = forgetMayReturn(so, workerId);
      const { phase } = runOf(known);
      const without = withoutHolder(phase, workerId);
      return without === phase ? known : enter(known, without);
    }),
  );
}

function forgetMayReturn(t: Transition, workerId: string): Transition {
  const { mayReturn } = recordOf(t);
  return mayReturn.includes(workerId)
    ? note(t, { mayReturn: mayReturn.filter((id) => id !== workerId) })
    : t;
}

/** A child failed for a reason of its worker's own: asked again at once a few times, then after a while. */
export function strike(t: Transition, member: Member, message: string): Transition {
  return drop(countFailure(t, member, message), member.workerId, message, false);
}

export function countFailure(t: Transition, { workerId }: Member, message: string): Transition {
  return countStrike(t, workerId, message, strikesMax);
}

/** Whoever restarts under the same name has the failures of the one before. */
function countStrike(
  t: Transition,
  workerId: string,
  message: string,
  freeOfThem: number,
): Transition {
  const { strikes } = runOf(t);
  const now = t.fleet.clock.awakeMs;
  const before = strikes.get(workerId);
  const kept = before !== undefined && now - before.atMs < strikeKeptMs ? before.count : 0;
  const count = kept + 1;
  const untilMs = count > freeOfThem ? now + backoffMs(count - freeOfThem) : now;
  return changeRun(t, {
    strikes: withEntry(strikes, workerId, { count, message, atMs: now, untilMs }),
  });
}

/** Workers that hold the state, in rank order. */
export function memberIds(run: Run): readonly string[] {
  return participantsIn(run, "member");
}

/**
 * Those who hold the state now are a new generation. The record names them, so that a coordinator
 * that starts again knows whom to wait for.
 */
export function formGeneration(t: Transition): Transition {
  const { generation } = recordOf(t);
  return note(t, { generation: generation + 1, members: memberIds(runOf(t)) });
}

/** Those of them that can be told something now, who is leaving last. */
export function connectedMembers(t: Transition): readonly string[] {
  const isLeaving = (id: string): boolean => t.fleet.members.get(id)?.leaving !== undefined;
  return memberIds(runOf(t))
    .filter((id) => isConnected(t, id))
    .toSorted((a, b) => Number(isLeaving(a)) - Number(isLeaving(b)));
}

export function isConnected({ fleet }: Transition, workerId: string): boolean {
  return fleet.members.get(workerId)?.link.kind === "connected";
}

/** In the order of their ids, so that the same workers have the same ranks after a restart. */
export function participantsIn(
  run: Run,
  stage: "preparing" | "ready" | "loading" | "reserve" | "member",
): readonly string[] {
  return idsByStage(run.participants).get(stage) ?? none;
}

const none: readonly string[] = [];

const idsByStage = remembered((participants: Run["participants"]) => {
  const ids = new Map<Stage["kind"], string[]>();
  for (const { workerId, stage } of participants.values()) {
    const alike = ids.get(stage.kind);
    if (alike === undefined) ids.set(stage.kind, [workerId]);
    else alike.push(workerId);
  }
  for (const alike of ids.values()) alike.sort();
  return ids;
});

/** Asks an idle worker to get ready. */
export function prepare(t: Transition, { workerId, incarnation }: Member): Transition {
  const { clock, options } = t.fleet;
  const givenUp = new Set(runOf(t).givenUp);
  givenUp.delete(incarnation);
  const asked = changeRun(t, {
    givenUp,
    participants: withEntry(runOf(t).participants, workerId, {
      workerId,
      stage: { kind: "preparing", deadlineMs: clock.awakeMs + options.prepareMs },
      probe: "",
    }),
  });
  return sendPrepare(changeMember(asked, workerId, { spare: "" }), workerId);
}

export function tellSpare(t: Transition, { workerId, spare }: Member, reason: string): Transition {
  if (spare === reason) return t;
  return send(changeMember(t, workerId, { spare: reason }), workerId, { kind: "spare", reason });
}

function orderOf({ name, attempt, plan, indexDigest }: JobRecord): JobOrder {
  return {
    job: name,
    attempt,
    settings: plan.settings,
    schedule: plan.schedule,
    classes: plan.classes.length,
    trainingExamples: plan.trainingExamples,
    validationExamples: plan.validationExamples,
    indexDigest,
  };
}
