import { plural } from "../job/plural.js";
import { noChecksums, takeChecksum } from "./checksum.js";
import { shardsOf } from "./dealing.js";
import { end } from "./ending.js";
import type { Member, RecoveringPhase, Run, Transition } from "./fleetState.js";
import { factsOf, logProgress, withFacts } from "./history.js";
import type { HeldState } from "./message.js";
import { noPace } from "./pace.js";
import { close, formGeneration } from "./participation.js";
import { keepInReserve } from "./reserve.js";
import type { Range } from "../plan/tree.js";
import { trialOf, voidTrial, type JobRecord } from "./record.js";
import { beginAttempt } from "./starting.js";
import {
  changeParticipant,
  changeRun,
  describe,
  enter,
  focus,
  forEach,
  log,
  note,
  recordNamed,
  recordOf,
  runOf,
  send,
  withEntry,
} from "./transition.js";

/**
 * Nobody is known to hold the job's state: after a start of the coordinator, or when all members
 * were lost at once. Workers that come back say what they hold, and the highest step counts. What
 * was committed is not undone within an attempt: if nobody comes back with it, the job durably
 * begins a new attempt from its checkpoint.
 */

/** The run of a job that was under way when the coordinator ended; it goes on at `nowMs`. */
export function recoveredRun(record: JobRecord, nowMs: number): Run {
  const { members, mayReturn, name, state } = record;
  const awaited = [...members, ...mayReturn];
  return {
    ...newRun(name, state === "cancelling"),
    phase: {
      kind: "recovering",
      sinceMs: nowMs,
      isAtStart: true,
      awaited: awaited.length === 0 ? undefined : new Set(awaited),
      newest: new Set(members),
      holders: new Map(),
    },
  };
}

export function newRun(job: string, cancelled: boolean): Run {
  return {
    job,
    phase: { kind: "gathering", enoughSinceMs: undefined },
    cancelled,
    suspended: false,
    yields: new Map(),
    participants: new Map(),
    setAside: new Map(),
    joins: new Map(),
    strikes: new Map(),
    givenUp: new Set(),
    stated: noChecksums,
    distrusted: new Map(),
    repaired: new Map(),
    savedBy: "",
    ties: 0,
    inherited: new Map(),
    pace: noPace,
    keeper: undefined,
    saveProblem: "",
  };
}

/** Waits for members that were lost and may be alive. */
export function beginRecovery(t: Transition): Transition {
  const { mayReturn } = recordOf(t);
  const waiting = mayReturn.length === 0 ? "" : `waits for ${mayReturn.join(", ")} to come back`;
  return enter(describe(t, "waiting", waiting), {
    kind: "recovering",
    sinceMs: t.fleet.clock.awakeMs,
    isAtStart: false,
    awaited: new Set(mayReturn),
    newest: new Set(mayReturn),
    holders: new Map(),
  });
}

/** A worker that takes no part says what it holds: it is of use while the job is recovering, and to be let go otherwise. */
export function takeHeld(
  t: Transition,
  { workerId, incarnation }: Pick<Member, "workerId" | "incarnation">,
  held: HeldState,
): Transition {
  const { job, step } = held;
  if (isAhead(t, held)) return takeHeld(adopt(t, held), { workerId, incarnation }, held);
  const run = t.fleet.runs.get(job);
  const letGo = (so: Transition): Transition =>
    close(so, workerId, job, `step ${step} of ${job} is not needed any more`);
  if (
    run === undefined ||
    held.attempt !== recordNamed(t.fleet, job).attempt ||
    run.givenUp.has(incarnation) ||
    run.distrusted.has(incarnation) ||
    isOutdated(recordNamed(t.fleet, job), held)
  ) {
    return letGo(t);
  }
  const { phase, participants } = run;
  return focus(t, job, (so) => {
    if (phase.kind !== "recovering") return keepInReserve(so, workerId, held) ?? letGo(so);
    const probe = recordOf(so).pin?.probe ?? "";
    const holders = withEntry(phase.holders, workerId, held);
    const ready = { workerId, stage: { kind: "ready" }, probe } as const;
    const back = changeRun(enter(so, { ...phase, holders }), {
      participants: withEntry(participants, workerId, ready),
    });
    return log(back, "info", `${workerId} is back with step ${step}`, { worker: workerId });
  });
}

/**
 * No worker hears of an attempt before it is durable: one that is in a later attempt than the record has outlived the
 * record, of which only an older copy is left.
 */
function isAhead(t: Transition, { job, attempt }: HeldState): boolean {
  const isRecovering = t.fleet.runs.get(job)?.phase.kind === "recovering";
  return isRecovering && attempt > recordNamed(t.fleet, job).attempt;
}

function adopt(t: Transition, { job, attempt }: HeldState): Transition {
  return focus(t, job, (so) => {
    const run = runOf(so);
    const reason = `attempt ${attempt} of ${job} is under way`;
    const released = forEach(so, run.participants.keys(), (next, workerId) =>
      close(next, workerId, job, reason),
    );
    const { phase } = run;
    return changeRun(note(released, { attempt }), {
      participants: new Map(),
      phase: phase.kind === "recovering" ? { ...phase, holders: new Map() } : phase,
    });
  });
}

/** Goes on once all who may come back have, or it is no use to wait for more. */
export function decideRecovering(t: Transition, phase: RecoveringPhase): Transition {
  const record = recordOf(t);
  // The coordinator ended between the last save and the end of the job.
  if (record.weights !== undefined) {
    return end(logProgress(t, record.name), { state: "done", reason: "" });
  }
  const able = holdersOf(t, phase).filter(({ reached }) => reached >= record.step);
  const useful = able.filter(({ workerId }) => runOf(t).participants.has(workerId));
  const mayReturn = able.some(({ workerId }) => isReturning(t, workerId));
  const mayBeHeld = mayReturn || isAwaiting(t, phase) || mayBeUnknown(t, phase);
  if (useful.length === 0 ? mayBeHeld : isWaiting(t, phase, useful)) return t;
  if (useful.length === 0) {
    // Nothing was done in this attempt yet: whoever is ready for it may begin it.
    const isNew = record.generation === 0 && !runOf(t).cancelled;
    return isNew ? enter(t, { kind: "gathering", enoughSinceMs: undefined }) : rewind(t);
  }
  const step = Math.max(...useful.map(({ reached }) => reached));
  // What those knew who are of no use any more holds all the same.
  const trail = withFacts(
    record,
    able.flatMap(({ held }) => held.trail),
  );
  const stepped = note(t, { step, trail, mayReturn: stillAwaited(t, phase) });
  const loss = factsOf(recordOf(stepped), step - 1)?.loss ?? record.loss;
  const told = logProgress(note(stepped, { loss }), record.name);
  return resume(told, withoutOverlaps(useful.filter(({ reached }) => reached === step)));
}

interface Holder {
  readonly workerId: string;
  readonly held: HeldState;
  /** The step that it has reached once it has done what it was told, or is to be told. */
  readonly reached: number;
}

/** Everyone who said so, also those who were lost again since. */
function holdersOf(t: Transition, { holders }: RecoveringPhase): readonly Holder[] {
  const committed = Math.max(recordOf(t).step, ...[...holders.values()].map(toldOf));
  return [...holders].map(([workerId, held]) => {
    // Who has the sum of the step that was committed last lacks only the word to apply it.
    const mayApply = held.summed && held.step === committed - 1 && !isOfOldTrial(recordOf(t), held);
    return { workerId, held, reached: mayApply ? committed : toldOf(held) };
  });
}

/** The step that it holds, or is about to. Who is told more steps than one ahead only follows. */
function toldOf({ step, trail }: HeldState): number {
  return trail.at(-1)?.step === step ? step + 1 : step;
}

/** Lost again, and not for long: it is waited for like a member that was lost. */
function isReturning(t: Transition, workerId: string): boolean {
  const { members, clock } = t.fleet;
  const link = members.get(workerId)?.link;
  return link?.kind === "lost" && clock.awakeMs - link.sinceMs < patienceMs(t);
}

function isAwaiting(t: Transition, phase: RecoveringPhase): boolean {
  return t.fleet.clock.awakeMs - phase.sinceMs < patienceMs(t) && !hasAll(t, phase);
}

function mayBeUnknown({ fleet }: Transition, { isAtStart, sinceMs }: RecoveringPhase): boolean {
  return isAtStart && fleet.clock.awakeMs - sinceMs < fleet.options.returnMs;
}

/** How long a state that may exist is waited for. */
function patienceMs(t: Transition): number {
  const { returnMs, leaseMs, goneMs } = t.fleet.options;
  // Before the first generation nobody has done a step of the attempt.
  if (recordOf(t).generation === 0) return returnMs;
  return runOf(t).cancelled ? leaseMs : goneMs;
}

/** Whether those who are there with the state wait for more. */
function isWaiting(t: Transition, phase: RecoveringPhase, useful: readonly Holder[]): boolean {
  if (!isAwaiting(t, phase)) return false;
  const { clock, options } = t.fleet;
  const waitedMs = clock.awakeMs - phase.sinceMs;
  if (phase.awaited === undefined) return waitedMs < options.leaseMs;
  // Members are within a step of each other; whoever was lost before may hold an older state.
  const isNewestBack = useful.some(({ workerId }) => phase.newest.has(workerId));
  return !isNewestBack || waitedMs < options.returnMs;
}

/** Those who may still come back with a state that the job can go on from. */
function stillAwaited({ fleet }: Transition, { awaited = new Set() }: RecoveringPhase): string[] {
  return [...awaited].filter((id) => fleet.members.get(id)?.link.kind !== "connected");
}

/**
 * Whether its part of a step is of a sum that was found wrong after it was lost. It may have made
 * what was wrong, or have that sum; what it holds is of use only where it has made nothing.
 */
function isOutdated({ trial, step }: JobRecord, held: HeldState): boolean {
  if (trial === undefined || held.step !== trial.step || held.trial >= trial.doubted) return false;
  return held.ranges.length > 0 || held.step < step;
}

/** Whether a sum that it has of its step is void. */
function isOfOldTrial({ trial }: JobRecord, held: HeldState): boolean {
  return trial?.step === held.step && held.trial < trial.generation;
}

/**
 * Holders whose ranges of the round under way do not overlap. One that was lost may come back with
 * ranges that others have taken over since; it starts over with a copy of their state.
 */
function withoutOverlaps(holders: readonly Holder[]): readonly Holder[] {
  const taken = new Set<number>();
  return holders
    .toSorted((a, b) => (a.workerId < b.workerId ? -1 : 1))
    .filter((holder) => {
      const shards = rangesOf(holder).flatMap(shardsOf);
      if (shards.some((shard) => taken.has(shard))) return false;
      for (const shard of shards) taken.add(shard);
      return true;
    });
}

/** Those of the step that it has reached. */
function rangesOf({ held, reached }: Holder): readonly Range[] {
  return held.step === reached ? held.ranges : [];
}

function resume(t: Transition, best: readonly Holder[]): Transition {
  const { step, name, attempt } = recordOf(t);
  const members = forEach(t, best, (so, { workerId }) =>
    changeParticipant(so, workerId, { stage: { kind: "member" } }),
  );
  const formed = changeRun(formGeneration(members), {
    stated: noChecksums,
    inherited: new Map(best.map((holder) => [holder.workerId, rangesOf(holder)])),
    phase: { kind: "boundary" },
  });
  let next = renewTrial(formed, best);
  for (const { workerId, held } of best) {
    if (held.step < step) {
      const facts = factsOf(recordOf(next), held.step);
      const commit = { kind: "commit", job: name, attempt, step: held.step, facts } as const;
      next = send(next, workerId, { save: false, ...commit });
      continue;
    }
    next = takeChecksum(next, workerId, held.parameterChecksum);
  }
  return log(next, "info", `goes on from step ${step} with ${plural(best.length, "worker")}`, {
    step,
    workers: best.length,
  });
}

/**
 * A holder may have been told of a later trial of the sum than the record knows, where the record
 * is an older copy. It hears of no earlier one, so there is a new one for all.
 */
function renewTrial(t: Transition, holders: readonly Holder[]): Transition {
  const record = recordOf(t);
  const isBehind = holders.some(
    ({ held }) => held.step === record.step && held.trial > trialOf(record),
  );
  return isBehind ? note(t, { trial: voidTrial(record, record.generation) }) : t;
}

/** The state is gone: back to the checkpoint, in a new attempt. */
function rewind(t: Transition): Transition {
  const run = runOf(t);
  const { step, checkpoints } = recordOf(t);
  if (run.cancelled) return end(t, { state: "cancelled", reason: "" });
  const [newest] = checkpoints;
  if (step === (newest?.step ?? 0)) {
    // As after the last worker left: nothing is lost.
    const from = newest === undefined ? "the start" : `the checkpoint of step ${step}`;
    return beginAttempt(log(t, "info", `goes on from ${from}`, { step }));
  }
  const logged = log(
    logProgress(t, run.job),
    "warn",
    `no worker holds step ${step} any more; goes back to step ${newest?.step ?? 0}`,
    { step },
  );
  return beginAttempt(logged);
}

/** Whether everyone who is waited for is back, or is known to hold nothing. */
function hasAll(t: Transition, { awaited, holders }: RecoveringPhase): boolean {
  if (awaited === undefined) return false;
  const { participants } = runOf(t);
  return [...awaited].every((id) => {
    const isHere = holders.has(id) && participants.has(id);
    return isHere || t.fleet.members.get(id)?.link.kind === "connected";
  });
}
