import { takeChecksum } from "./checksum.js";
import { repeatOffer, sendOffer, takeFollowed } from "./following.js";
import type { Hello, Member, Participant, Transition } from "./fleetState.js";
import { fail } from "./ending.js";
import { factsOf } from "./history.js";
import type { WorkerEvent } from "./message.js";
import { takeUnable, takeUnreadable } from "./loading.js";
import { outOfMemory } from "./outOfMemory.js";
import {
  close,
  drop,
  sendPrepare,
  setAside,
  setAsideForAWhile,
  strike,
  unfit,
  whyNot,
  withoutHolder,
} from "./participation.js";
import { takeHeld } from "./recovery.js";
import { sendRound, takeReport } from "./round.js";
import { sendSave, takeSaved, takeSaveFailed } from "./saving.js";
import { sendLoad } from "./starting.js";
import {
  changeMember,
  changeParticipant,
  changeRun,
  focus,
  recordOf,
  runOf,
  runWith,
  send,
  withEntry,
} from "./transition.js";

/** What workers say about a job: only of the attempt under way, and only from who takes part in it. */

export type JobEvent = Extract<
  WorkerEvent,
  {
    readonly kind:
      "prepared" | "loaded" | "report" | "applied" | "saved" | "save-failed" | "failed";
  }
>;

export function takeJobEvent(t: Transition, member: Member, event: JobEvent): Transition {
  const run = t.fleet.runs.get(event.job);
  const participant = run?.participants.get(member.workerId);
  if (run !== undefined && participant !== undefined) {
    return focus(t, run.job, (so) => takeFrom(so, member, participant, event));
  }
  // Another job has it by now: its child for this one ends for the other's.
  if (runWith(t.fleet, member.workerId) !== undefined) return t;
  if (run?.phase.kind === "recovering" && event.kind === "prepared") {
    return focus(t, run.job, (so) => takeReady(so, member, event));
  }
  // It has a child that nobody needs; unless it is gone or going already, it is to end.
  const isGone = event.kind === "failed" || member.closing !== undefined;
  return isGone
    ? t
    : close(t, member.workerId, event.job, `${event.job} goes on without this worker`);
}

function takeFrom(
  t: Transition,
  member: Member,
  participant: Participant,
  event: JobEvent,
): Transition {
  if (event.attempt !== recordOf(t).attempt) return t;
  switch (event.kind) {
    case "prepared":
      return takePrepared(t, participant, event.probe);
    case "loaded":
      return takeLoaded(t, participant, event);
    case "report":
      return takeReported(t, participant, event);
    case "applied":
      return takeApplied(t, participant, event);
    case "saved":
      return participant.stage.kind === "member" ? takeSaved(t, member.workerId, event) : t;
    case "save-failed":
      return takeSaveFailed(t, member.workerId, event);
    case "failed":
      return takeFailed(t, member, event);
  }
}

function takeReported(
  t: Transition,
  { workerId, stage }: Participant,
  report: Extract<JobEvent, { readonly kind: "report" }>,
): Transition {
  if (stage.kind === "member") return takeReport(t, workerId, report);
  if (stage.kind !== "following" || report.generation < stage.generation) return t;
  const { phase } = runOf(t);
  // A sum of an earlier trial is none.
  const isOfNow = phase.kind === "round" && report.trial === phase.trial;
  return takeFollowed(t, workerId, stage, report, isOfNow ? report.sumChecksum : undefined);
}

/** It got ready for a coordinator that has ended, and may be of use to this one. */
function takeReady(
  t: Transition,
  member: Member,
  { job, attempt, probe }: Extract<JobEvent, { readonly kind: "prepared" }>,
): Transition {
  const { workerId, closing } = member;
  const run = runOf(t);
  if (closing !== undefined) return t;
  if (recordOf(t).attempt !== attempt) {
    return close(t, workerId, job, `attempt ${attempt} of ${job} is over`);
  }
  const reason = unfit(t.fleet, job, member);
  if (reason !== undefined) return close(t, workerId, job, reason);
  const deadlineMs = t.fleet.clock.awakeMs + t.fleet.options.prepareMs;
  const participant = { workerId, stage: { kind: "preparing", deadlineMs }, probe: "" } as const;
  const participants = withEntry(run.participants, workerId, participant);
  // Of a process that had the name before it has nothing.
  const phase = withoutHolder(run.phase, workerId);
  return takePrepared(changeRun(t, { participants, phase }), participant, probe);
}

/** A worker confirms that its child is gone. */
export function takeReleased(t: Transition, member: Member, job: string): Transition {
  return member.closing?.job === job ? changeMember(t, member.workerId, { closing: undefined }) : t;
}

/**
 * A worker is back, or new: it is told again what it may have missed. Whatever the machines say
 * twice changes nothing the second time.
 */
export function synchronise(t: Transition, member: Member): Transition {
  const { workerId, closing, hello } = member;
  if (closing !== undefined) {
    return send(t, workerId, { kind: "release", job: closing.job, reason: closing.reason });
  }
  const run = runWith(t.fleet, workerId);
  const participant = run?.participants.get(workerId);
  if (run === undefined || participant === undefined) {
    return hello.held === undefined ? t : takeHeld(t, member, hello.held);
  }
  return focus(t, run.job, (so) => repeat(so, member, participant));
}

function repeat(t: Transition, member: Member, { stage }: Participant): Transition {
  const { workerId, hello } = member;
  switch (stage.kind) {
    case "preparing":
      return sendPrepare(t, workerId);
    case "loading":
      return sendLoad(t, workerId);
    case "ready":
      return synchroniseHolder(t, member);
    case "loaded":
      return t;
    case "following":
      // It has missed something, and starts over at the next boundary.
      return changeParticipant(t, workerId, { stage: { kind: "ready" } });
    case "reserve":
      return synchroniseReserve(t, member);
    case "member":
      return synchroniseMember(t, member, hello);
  }
}

/** Whoever was back with the state, and says nothing of it now, has lost it with its child since. */
function synchroniseHolder(t: Transition, { workerId, hello }: Member): Transition {
  const { phase } = runOf(t);
  const isHolder = phase.kind === "recovering" && phase.holders.has(workerId);
  return isHolder && hello.held === undefined
    ? drop(t, workerId, "it came back without the state", false)
    : t;
}

function synchroniseReserve(t: Transition, { workerId, hello }: Member): Transition {
  const { held } = hello;
  if (held === undefined) return drop(t, workerId, "it came back without the state", false);
  const sinceMs = t.fleet.clock.awakeMs;
  return changeParticipant(t, workerId, { stage: { kind: "reserve", held, sinceMs } });
}

function synchroniseMember(t: Transition, { workerId }: Member, { held }: Hello): Transition {
  const { name, attempt, step } = recordOf(t);
  const isOurs = held?.job === name && held.attempt === attempt;
  if (!isOurs || held.step > step || held.step < step - 1) {
    const dropped = drop(t, workerId, "it came back without the state", false);
    return held === undefined
      ? dropped
      : close(dropped, workerId, held.job, "its state is of no use");
  }
  const known = held.step === step ? takeChecksum(t, workerId, held.parameterChecksum) : t;
  const { keeper } = runOf(t);
  const applied =
    held.step < step
      ? send(known, workerId, {
          save: keeper?.workerId === workerId && keeper.step === step,
          facts: factsOf(recordOf(known), step - 1),
          ...{ kind: "commit", job: name, attempt, step: step - 1 },
        })
      : known;
  const { phase } = runOf(applied);
  if (phase.kind === "round") return sendRound(repeatOffer(applied, workerId), workerId);
  if (phase.kind === "saving") return sendSave(applied, workerId);
  return phase.kind === "joining" && phase.donor === workerId
    ? sendOffer(applied, workerId)
    : applied;
}

function takePrepared(t: Transition, { workerId, stage }: Participant, probe: string): Transition {
  if (stage.kind !== "preparing") return t;
  const mismatch = whyNot(t, workerId, probe);
  return mismatch === undefined
    ? changeParticipant(t, workerId, { stage: { kind: "ready" }, probe })
    : setAside(t, workerId, mismatch);
}

function takeLoaded(
  t: Transition,
  { workerId, stage }: Participant,
  { step, parameterChecksum }: Extract<JobEvent, { readonly kind: "loaded" }>,
): Transition {
  if (stage.kind === "following" && step === stage.step) {
    return takeFollowed(t, workerId, stage, { step, parameterChecksum }, undefined);
  }
  if (stage.kind !== "loading" || stage.step !== step) return t;
  const { deadlineMs } = stage;
  return changeParticipant(t, workerId, {
    stage: { kind: "loaded", parameterChecksum, deadlineMs },
  });
}

function takeApplied(
  t: Transition,
  { workerId, stage }: Participant,
  { step, parameterChecksum }: Extract<JobEvent, { readonly kind: "applied" }>,
): Transition {
  if (stage.kind === "following" && step > stage.step) {
    return takeFollowed(t, workerId, stage, { step, parameterChecksum }, undefined);
  }
  if (stage.kind !== "member" || step !== recordOf(t).step) return t;
  return takeChecksum(t, workerId, parameterChecksum);
}

/**
 * What lies in the job ends it; what lies in the worker costs it its child. Data that a newcomer
 * lacks, while others train on them, or that one lacks at the start, is its own trouble.
 */
function takeFailed(
  t: Transition,
  member: Member,
  { cause, message }: Extract<JobEvent, { readonly kind: "failed" }>,
): Transition {
  switch (cause) {
    case "data":
    case "config":
    case "numbers":
      return isNewcomer(t, member)
        ? setAside(t, member.workerId, message)
        : takeUnable(t, member, message);
    case "read":
      return takeUnread(t, member, message);
    case "checkpoint":
      return takeUnreadable(t, member, message);
    case "memory":
      return outOfMemory(t, member, message);
    case "exit":
    case "error":
      return strike(t, member, message);
  }
}

/**
 * A worker cannot read a picture, and has tried for a while: its disk, its mount or its network is
 * at fault as long as somebody else is there to read it, and takes its shards over.
 */
function takeUnread(t: Transition, { workerId }: Member, message: string): Transition {
  const { participants } = runOf(t);
  return participants.size > 1
    ? setAsideForAWhile(t, workerId, message)
    : fail(t, `${workerId} could not go on, and no other worker is left: ${message}`);
}

/** Whether the worker is about to join a job that others have under way. */
function isNewcomer(t: Transition, { workerId }: Member): boolean {
  const { participants } = runOf(t);
  const stages = [...participants.values()].map(({ stage }) => stage.kind);
  return participants.get(workerId)?.stage.kind !== "member" && stages.includes("member");
}
