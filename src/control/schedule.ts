import type { Fleet, Member, Run, Transition } from "./fleetState.js";
import { hasRoom, lacking, remaining, usable } from "./need.js";
import { foreign, isIdle, memberIds, prepare, release, tellSpare, unfit } from "./participation.js";
import { isActive, type JobRecord } from "./record.js";
import { newRun } from "./recovery.js";
import { remembered } from "./remembered.js";
import { beginAttempt } from "./starting.js";
import {
  change,
  changeRecord,
  changeRun,
  focus,
  forEach,
  log,
  recordNamed,
  runWith,
  withEntry,
} from "./transition.js";
import { workersMin } from "./work.js";

/**
 * Which worker works on which job. Jobs go by priority, then in the order in which they came. A job
 * starts when it can have its minimum at once, and takes what it lacks from jobs of no higher
 * priority that have more than their minimum; they give it up at their next boundary. Whoever is
 * left helps the job that comes first and has the fewest. A job that could start but for others
 * holds up those behind it; one that needs more workers than there are does not.
 */
export function schedule(t: Transition): Transition {
  const idle = workersThat(t.fleet, (member) => isIdle(t.fleet, member));
  const waiting = waitingJobs(t.fleet);
  if (idle.size === 0 && waiting.every(({ name }) => lacking(t.fleet, name) === 0)) return t;
  // They end a child of the job that let go of them, or is about to, and are free then.
  const soon = workersThat(
    t.fleet,
    ({ workerId, link, closing, leaving }) =>
      link.kind === "connected" &&
      leaving === undefined &&
      (closing !== undefined || runWith(t.fleet, workerId)?.suspended === true),
  );
  let so = t;
  let isHeldUp = false;
  for (const { name } of waiting) {
    const isQueued = !so.fleet.runs.has(name);
    isHeldUp ||= isSoonBack(so.fleet, name);
    const least = lacking(so.fleet, name);
    if (least === 0 || (isQueued && isHeldUp)) continue;
    const { now, later, given, coming } = musterFor(so.fleet, name, { idle, soon, least });
    const isEnough = now.length + later.length + given.length + coming >= least;
    if (isQueued && now.length >= least) so = start(so, name);
    if (!isQueued || now.length >= least) so = askAll(so, name, now);
    if (isEnough) so = forEach(so, given, (next, worker) => giveTo(next, worker, name));
    if (isEnough || !isQueued) {
      for (const { workerId } of now) idle.delete(workerId);
      for (const { workerId } of later) soon.delete(workerId);
    }
    if (!isEnough) {
      const has = now.length + later.length + given.length + coming;
      so = suspendFor(so, name, least - has);
    }
    isHeldUp ||= isQueued && now.length < least && couldHave(so.fleet, name);
  }
  return forEach(so, idle.values(), help);
}

/** A job that looks for its state needs its workers soon; where they are away for long, others need not wait as well. */
function isSoonBack({ runs, clock, options }: Fleet, job: string): boolean {
  const phase = runs.get(job)?.phase;
  return phase?.kind === "recovering" && clock.awakeMs - phase.sinceMs < options.leaseMs;
}

/** Why an idle worker has nothing to do; undefined where there is nothing to be done. */
export function whySpare(fleet: Fleet, member: Member): string | undefined {
  return runsInOrder(fleet)
    .filter((run) => hasRoom(fleet, run))
    .map(({ job }) => unfit(fleet, job, member))
    .find((reason) => reason !== undefined);
}

function workersThat(fleet: Fleet, can: (member: Member) => boolean): Map<string, Member> {
  const members = [...fleet.members.values()].filter(can);
  return new Map(members.map((member) => [member.workerId, member]));
}

interface Muster {
  /** Idle workers that may begin at once. */
  readonly now: readonly Member[];
  /** Workers that are about to be idle. */
  readonly later: readonly Member[];
  /** Workers of other jobs that can be had. */
  readonly given: readonly { readonly from: string; readonly workerId: string }[];
  /** How many others have been told to give up for it already. */
  readonly coming: number;
}

/** Workers of one arithmetic for the job, no more than it lacks; idle ones first. */
function musterFor(
  fleet: Fleet,
  job: string,
  pool: {
    readonly idle: ReadonlyMap<string, Member>;
    readonly soon: ReadonlyMap<string, Member>;
    readonly least: number;
  },
): Muster {
  const { least } = pool;
  const record = recordNamed(fleet, job);
  const coming = [...fleet.runs.values()].reduce(
    (sum, { yields }) => sum + [...yields.values()].filter((to) => to === job).length,
    0,
  );
  const isFit = (member: Member): boolean => unfit(fleet, job, member) === undefined;
  const fit = [...pool.idle.values()].filter(isFit);
  const soon = [...pool.soon.values()].filter(isFit);
  const others = givable(fleet, record).filter(({ member }) => isFit(member));
  const isOpen = record.pin === undefined && !record.plan.settings.mixedDevices;
  const classes = isOpen
    ? [...new Set([...fit, ...soon, ...others.map(({ member }) => member)].map(numericsOf))]
    : [undefined];
  const musters = classes.map((numerics) => {
    const isAlike = (member: Member): boolean =>
      numerics === undefined || numericsOf(member) === numerics;
    const now = fit.filter(isAlike).slice(0, least);
    const later = soon.filter(isAlike).slice(0, Math.max(0, least - coming - now.length));
    const missing = Math.max(0, least - coming - now.length - later.length);
    const given = others
      .filter(({ member }) => isAlike(member))
      .slice(0, missing)
      .map(({ from, member }) => ({ from, workerId: member.workerId }));
    return { now, later, given, coming };
  });
  return musters.reduce((best, muster) => (sizeOf(muster) > sizeOf(best) ? muster : best), {
    now: [],
    later: [],
    given: [],
    coming,
  });
}

function sizeOf({ now, later, given }: Muster): number {
  return now.length + later.length + given.length;
}

/** Workers that jobs of no higher priority can do without: from the least important, and the largest. */
function givable(
  fleet: Fleet,
  record: JobRecord,
): readonly { readonly from: string; readonly member: Member }[] {
  const givers = runsInOrder(fleet)
    .filter(({ job }) => job !== record.name && priorityOf(fleet, job) <= priority(record))
    .filter((run) => hasRoom(fleet, run))
    .toSorted(
      (a, b) => priorityOf(fleet, a.job) - priorityOf(fleet, b.job) || remaining(b) - remaining(a),
    );
  return givers.flatMap((run) => {
    const members = memberIds(run);
    const others = [...run.participants.keys()].filter((id) => !members.includes(id));
    // Who is asked to leave is of no use to either. Those that hold no state yet cost nothing.
    const stay = [...members, ...others].filter(
      (id) => !run.yields.has(id) && fleet.members.get(id)?.leaving === undefined,
    );
    const least = workersMin(recordNamed(fleet, run.job));
    const spare = Math.max(0, usable(fleet, run, stay) - least);
    return stay
      .toReversed()
      .slice(0, spare)
      .flatMap((id) => fleet.members.get(id) ?? [])
      .filter(({ link }) => link.kind === "connected")
      .map((member) => ({ from: run.job, member }));
  });
}

function giveTo(
  t: Transition,
  { from, workerId }: Muster["given"][number],
  to: string,
): Transition {
  return focus(t, from, (so) => {
    const run = so.fleet.runs.get(from);
    if (run?.participants.get(workerId)?.stage.kind !== "member") {
      return release(so, workerId, `${to} needs it`);
    }
    return changeRun(so, { yields: withEntry(run.yields, workerId, to) });
  });
}

/**
 * Jobs must not wait below their minimum with workers that would do for one of them: those that
 * come last give up theirs, as many jobs as it takes, or none if all of them would not do.
 */
function suspendFor(t: Transition, job: string, missing: number): Transition {
  const waiting = waitingJobs(t.fleet);
  const place = waiting.findIndex(({ name }) => name === job);
  const victims: string[] = [];
  let freed = 0;
  for (const { name } of waiting.slice(place + 1).toReversed()) {
    const run = t.fleet.runs.get(name);
    if (run === undefined || lacking(t.fleet, name) === 0 || freed >= missing) continue;
    const members = [...run.participants.keys()].flatMap((id) => t.fleet.members.get(id) ?? []);
    const fit = members.filter((member) => unfit(t.fleet, job, member) === undefined).length;
    if (fit === 0) continue;
    victims.push(name);
    freed += fit;
  }
  if (freed < missing) return t;
  return forEach(t, victims, (so, victim) => focus(so, victim, (next) => suspend(next, job)));
}

function suspend(t: Transition, job: string): Transition {
  const suspended = changeRun(t, { cancelled: true, suspended: true });
  return log(suspended, "info", `gives its workers up for ${job}, as neither has enough`);
}

/** Whether there are enough workers for the job, were it alone. */
function couldHave(fleet: Fleet, job: string): boolean {
  const record = recordNamed(fleet, job);
  const fit = [...fleet.members.values()].filter(
    (member) =>
      member.link.kind === "connected" &&
      member.leaving === undefined &&
      foreign(record, member) === undefined,
  );
  const isOpen = record.pin === undefined && !record.plan.settings.mixedDevices;
  const largest = isOpen
    ? Math.max(
        0,
        ...fit.map((one) => fit.filter((other) => numericsOf(other) === numericsOf(one)).length),
      )
    : fit.length;
  return largest >= workersMin(record);
}

function start(t: Transition, job: string): Transition {
  const starting = changeRecord(t, job, { state: "starting", reason: "" });
  const run = newRun(job, false);
  return focus(
    change(starting, { runs: withEntry(starting.fleet.runs, job, run) }),
    job,
    beginAttempt,
  );
}

function askAll(t: Transition, job: string, members: readonly Member[]): Transition {
  return focus(t, job, (so) => forEach(so, members, prepare));
}

/** An idle worker that nobody lacks goes where it is of most use, or is told why it waits. */
function help(t: Transition, member: Member): Transition {
  const { fleet } = t;
  const [run] = runsInOrder(fleet)
    .filter((one) => hasRoom(fleet, one) && unfit(fleet, one.job, member) === undefined)
    .toSorted(
      (a, b) => priorityOf(fleet, b.job) - priorityOf(fleet, a.job) || remaining(a) - remaining(b),
    );
  if (run !== undefined) return askAll(t, run.job, [member]);
  const reason = whySpare(fleet, member);
  return reason === undefined ? t : tellSpare(t, member, reason);
}

/** Jobs that are under way or in the queue, the most important first. */
function waitingJobs({ records }: Fleet): readonly JobRecord[] {
  return waitingIn(records.open);
}

const waitingIn = remembered((open: Fleet["records"]["open"]) =>
  [...open.values()]
    .filter(({ state }) => isActive(state) || state === "queued")
    .toSorted((a, b) => priority(b) - priority(a) || a.order - b.order),
);

function runsInOrder(fleet: Fleet): readonly Run[] {
  return waitingJobs(fleet).flatMap(({ name }) => fleet.runs.get(name) ?? []);
}

function priorityOf(fleet: Fleet, job: string): number {
  return priority(recordNamed(fleet, job));
}

function priority({ plan }: JobRecord): number {
  return plan.settings.priority;
}

function numericsOf({ hello }: Member): string {
  return hello.numerics;
}
