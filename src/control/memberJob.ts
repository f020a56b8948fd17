import { takeRound } from "./memberRound.js";
import {
  act,
  say,
  set,
  setChild,
  toChild,
  type MemberTransition,
  type Working,
} from "./memberState.js";
import type { JobOrder, StateSource, WorkerCommand, WorkerEvent } from "./message.js";

/**
 * What the coordinator tells a worker about a job, as commands to its child. The child does them
 * in order, so a round may be told right behind the commit before it. Each may come twice: the
 * second time it is answered, if it is done, and changes nothing.
 */

type JobCommand = Extract<
  WorkerCommand,
  { readonly kind: "load" | "offer" | "round" | "commit" | "save" }
>;

/** A coordinator that was away knows of all but the steps of its last second. */
const trailMax = 256;

export function takePrepare(t: MemberTransition, order: JobOrder): MemberTransition {
  const { child } = t.member;
  switch (child.kind) {
    case "none":
      return startChild(t, order);
    case "closing":
      return set(t, { next: order });
    case "working":
      return isSame(child.order, order)
        ? sayPrepared(t, child)
        : set(closeChild(t, child, false), { next: order });
  }
}

export function takeRelease(t: MemberTransition, job: string): MemberTransition {
  const { child, next } = t.member;
  const so = next?.job === job ? set(t, { next: undefined }) : t;
  if (child.kind === "working" && child.order.job === job) return closeChild(so, child, true);
  if (child.kind === "closing" && child.job === job) {
    return set(so, { child: { ...child, answer: true } });
  }
  return say(so, { kind: "released", job });
}

export function takeJobCommand(t: MemberTransition, command: JobCommand): MemberTransition {
  const { child } = t.member;
  if (child.kind !== "working") return t;
  if (command.job !== child.order.job || command.attempt !== child.order.attempt) return t;
  switch (command.kind) {
    case "load":
      return takeLoad(t, child, command.step, command.source);
    case "offer":
      return command.step === child.step ? toChild(t, { kind: "offer", step: command.step }) : t;
    case "round":
      return takeRound(t, child, command);
    case "commit":
      return takeCommit(t, child, command);
    case "save":
      return takeSave(t, child, command.what);
  }
}

export function startChild(t: MemberTransition, order: JobOrder): MemberTransition {
  const child: Working = {
    kind: "working",
    order,
    probe: undefined,
    load: undefined,
    held: undefined,
    step: 0,
    trail: [],
    round: undefined,
    saved: undefined,
    waitingFor: [],
    natsAgeMs: -1,
    residentBytes: 0,
    unitMs: -1,
    heardMs: t.nowMs,
    isSilent: false,
  };
  return act(set(t, { child, next: undefined }), { kind: "start-child", order });
}

/** Asks the child to end; one that does not is killed. */
export function closeChild(
  t: MemberTransition,
  { order }: Working,
  answer: boolean,
): MemberTransition {
  return toChild(set(t, { child: { kind: "closing", job: order.job, sinceMs: t.nowMs, answer } }), {
    kind: "close",
  });
}

export function sayPrepared(t: MemberTransition, { order, probe }: Working): MemberTransition {
  if (probe === undefined) return t;
  const { job, attempt } = order;
  return say(t, { kind: "prepared", job, attempt, probe });
}

export function sayLoaded(t: MemberTransition, { order, held }: Working): MemberTransition {
  if (held === undefined) return t;
  return say(t, { kind: "loaded", job: order.job, attempt: order.attempt, ...held });
}

/** The child cannot go on: the coordinator is told why, and the child ends. */
export function failChild(
  t: MemberTransition,
  child: Working,
  cause: Extract<WorkerEvent, { readonly kind: "failed" }>["cause"],
  message: string,
): MemberTransition {
  const { job, attempt } = child.order;
  return say(closeChild(t, child, false), { kind: "failed", job, attempt, cause, message });
}

function takeLoad(
  t: MemberTransition,
  child: Working,
  step: number,
  source: StateSource,
): MemberTransition {
  const { load } = child;
  // Whoever was told to follow from that state and has moved on takes it anew.
  if (load?.step === step && child.step === step && isSameSource(load.source, source)) {
    return child.held?.step === step ? sayLoaded(t, child) : t;
  }
  const loading = setChild(t, child, {
    load: { step, source },
    held: undefined,
    step,
    trail: [],
    round: undefined,
    saved: undefined,
  });
  return toChild(loading, { kind: "load", step, source });
}

function takeCommit(
  t: MemberTransition,
  child: Working,
  { step, save, facts }: Extract<JobCommand, { readonly kind: "commit" }>,
): MemberTransition {
  if (step < child.step) return t;
  const { round } = child;
  const hasSum = round?.step === step && round.sum !== undefined;
  const follows = round?.step === step && round.follows;
  if (step > child.step || (!hasSum && !follows)) {
    return failChild(t, child, "error", `it was told to apply step ${step} without having its sum`);
  }
  // A follower may have to wait for the sum, and holds nothing of use to anyone until then.
  const held = hasSum ? child.held : undefined;
  const trail = facts === undefined ? [] : [...child.trail, facts].slice(-trailMax);
  return toChild(setChild(t, child, { step: step + 1, round: undefined, held, trail }), {
    kind: "apply",
    step,
    save,
    sumChecksum: facts?.sumChecksum,
  });
}

function takeSave(
  t: MemberTransition,
  child: Working,
  what: "checkpoint" | "weights",
): MemberTransition {
  const { saved } = child;
  return saved?.what === what && saved.step === child.step
    ? say(t, saved)
    : toChild(t, { kind: "save", what });
}

function isSame(a: JobOrder, b: JobOrder): boolean {
  return a.job === b.job && a.attempt === b.attempt;
}

function isSameSource(a: StateSource, b: StateSource): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
