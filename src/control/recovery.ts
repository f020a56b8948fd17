import { checkState, noChecksums } from "./checksum.js";
import { shardsOf } from "./dealing.js";
import { end, fail } from "./ending.js";
import type { Member, RecoveringPhase, Run, Transition } from "./fleetState.js";
import type { HeldState } from "./message.js";
import { noPace } from "./pace.js";
import { close } from "./participation.js";
import { beginAttempt } from "./starting.js";
import {
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

/** The run of a job that was under way when the coordinator ended. */
export function recoveredRun(job: string, cancelled: boolean, deadlineMs: number): Run {
  return {
    ...newRun(job, cancelled),
    phase: { kind: "recovering", deadlineMs, awaited: undefined, holders: new Map() },
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
    absent: new Set(),
    checksums: noChecksums,
    inherited: new Map(),
    pace: noPace,
    saveProblem: "",
  };
}

/** Waits for members that were lost and may be alive. */
export function beginRecovery(t: Transition): Transition {
  const { absent } = runOf(t);
  const deadlineMs = t.fleet.clock.awakeMs + t.fleet.options.leaseMs;
  const waiting = absent.size === 0 ? "" : `waits for ${[...absent].join(", ")} to come back`;
  return enter(describe(t, "waiting", waiting), {
    kind: "recovering",
    deadlineMs,
    awaited: absent,
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
  if (
    run?.phase.kind !== "recovering" ||
    held.attempt !== recordNamed(t.fleet, job).attempt ||
    run.givenUp.has(incarnation)
  ) {
    return close(t, workerId, job, `step ${step} of ${job} is not needed any more`);
  }
  const { phase, participants } = run;
  return focus(t, job, (so) => {
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

/** Goes on once all who may come back have, or the time is over. */
export function decideRecovering(t: Transition, phase: RecoveringPhase): Transition {
  const run = runOf(t);
  // The coordinator ended between the last save and the end of the job.
  if (recordOf(t).weights !== undefined) return end(t, { state: "done", reason: "" });
  const holders = [...phase.holders].filter(([id]) => run.participants.has(id));
  const isOver = t.fleet.clock.awakeMs >= phase.deadlineMs;
  if (!isOver && !hasAll(t, phase)) return t;
  const record = recordOf(t);
  const highest = Math.max(...holders.map(([, held]) => held.step));
  // Who holds the step before the last commit has its sum: only the word to apply it was lost.
  if (holders.length === 0 || highest < record.step - 1) return rewind(t);
  const best = withoutOverlaps(holders.filter(([, held]) => held.step === highest));
  const stepped = note(t, { step: Math.max(highest, record.step) });
  return resume(stepped, best, highest);
}

/**
 * Holders whose ranges of the round under way do not overlap. One that was lost may come back with
 * ranges that others have taken over since; it starts over with a copy of their state.
 */
function withoutOverlaps(
  holders: readonly (readonly [string, HeldState])[],
): readonly (readonly [string, HeldState])[] {
  const taken = new Set<number>();
  return holders
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .filter(([, { ranges }]) => {
      const shards = ranges.flatMap(shardsOf);
      if (shards.some((shard) => taken.has(shard))) return false;
      for (const shard of shards) taken.add(shard);
      return true;
    });
}

function resume(
  t: Transition,
  best: readonly (readonly [string, HeldState])[],
  highest: number,
): Transition {
  const { generation, step, name, attempt } = recordOf(t);
  const run = runOf(t);
  const participants = new Map(run.participants);
  for (const [workerId] of best) {
    const known = participants.get(workerId);
    if (known !== undefined) participants.set(workerId, { ...known, stage: { kind: "member" } });
  }
  let next = changeRun(note(t, { generation: generation + 1 }), {
    participants,
    absent: new Set(),
    checksums: noChecksums,
    inherited: new Map(highest < step ? [] : best.map(([id, { ranges }]) => [id, ranges])),
    phase: { kind: "boundary" },
  });
  for (const [workerId, held] of best) {
    if (highest < step) {
      next = send(next, workerId, {
        kind: "commit",
        job: name,
        attempt,
        step: highest,
        save: false,
      });
      continue;
    }
    const checked = checkState(next, workerId, held.parameterChecksum);
    if (checked.problem !== undefined) return fail(checked.t, checked.problem);
    next = checked.t;
  }
  return log(next, "info", `goes on from step ${step} with ${best.length} workers`, {
    step,
    workers: best.length,
  });
}

/** The state is gone: back to the checkpoint, in a new attempt. */
function rewind(t: Transition): Transition {
  const run = runOf(t);
  const { step, checkpoint } = recordOf(t);
  if (run.cancelled) return end(t, { state: "cancelled", reason: "" });
  const logged = log(
    t,
    "warn",
    `no worker holds step ${step} any more; goes back to step ${checkpoint?.step ?? 0}`,
    { step },
  );
  return beginAttempt(logged);
}

/** Whether everyone who is waited for is back, or is known to hold nothing. */
function hasAll({ fleet }: Transition, { awaited, holders }: RecoveringPhase): boolean {
  if (awaited === undefined) return false;
  return [...awaited].every(
    (id) => holders.has(id) || fleet.members.get(id)?.link.kind === "connected",
  );
}
