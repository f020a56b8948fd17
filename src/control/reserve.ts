import type { Stage, Transition } from "./fleetState.js";
import type { HeldState } from "./message.js";
import { memberIds, participantsIn, release } from "./participation.js";
import {
  changeParticipant,
  changeRun,
  enter,
  forEach,
  log,
  recordOf,
  runOf,
  withEntry,
} from "./transition.js";

/**
 * A worker that was lost may come back with the present state while those who are left with it are silent, or stuck. Its copy is
 * kept in reserve: it takes no part, and is let go when the step is over; where the job waits for joiners, once a member is heard.
 * Example: worker 2 alone goes on with a step and is cut off; worker 1, lost before, is back with the state; worker 2 dies.
 */

type Reserve = Extract<Stage, { readonly kind: "reserve" }>;

/** Keeps what a returning worker holds of the job in focus, if it may be the only copy of the present state; undefined if not. */
export function keepInReserve(
  t: Transition,
  workerId: string,
  held: HeldState,
): Transition | undefined {
  const { participants } = runOf(t);
  if (memberIds(runOf(t)).length === 0 || !isOfStep(t, held)) return undefined;
  const probe = recordOf(t).pin?.probe ?? "";
  const sinceMs = t.fleet.clock.awakeMs;
  const kept = { workerId, stage: { kind: "reserve", held, sinceMs }, probe } as const;
  const message = `${workerId} is back with step ${held.step}, which is kept until the step is over`;
  return log(
    changeRun(t, { participants: withEntry(participants, workerId, kept) }),
    "info",
    message,
    { worker: workerId },
  );
}

/** Lets reserves go that are needed no more. Where the job is recovering, what they hold is what it looks for. */
export function settleReserves(t: Transition): Transition {
  return forEach(t, participantsIn(runOf(t), "reserve"), settleReserve);
}

function settleReserve(t: Transition, workerId: string): Transition {
  const { phase, participants } = runOf(t);
  const stage = participants.get(workerId)?.stage;
  if (stage?.kind !== "reserve") return t;
  if (phase.kind === "recovering") {
    const holders = withEntry(phase.holders, workerId, stage.held);
    return changeParticipant(enter(t, { ...phase, holders }), workerId, {
      stage: { kind: "ready" },
    });
  }
  return isNeeded(t, stage) ? t : release(t, workerId, "others hold the state");
}

function isNeeded(t: Transition, { held, sinceMs }: Reserve): boolean {
  const { phase } = runOf(t);
  if (memberIds(runOf(t)).length === 0) return true;
  // Where the job is at rest it may wait for just this worker, to join. That takes NATS: without it nobody is told to let go either.
  const isAtRest = t.fleet.nats.isUp && (phase.kind === "boundary" || phase.kind === "joining");
  return isOfStep(t, held) && !(isAtRest && isHeardSince(t, sinceMs));
}

/** One that has the sum of the step before may be told to apply it. */
function isOfStep(t: Transition, { step, summed }: HeldState): boolean {
  return (summed ? step + 1 : step) >= recordOf(t).step;
}

/** Whether a member has said that it holds the present state, and is there. One that was only told to apply the last sum may not have. */
function isHeardSince(t: Transition, sinceMs: number): boolean {
  const { stated } = runOf(t);
  return memberIds(runOf(t)).some((id) => {
    const member = t.fleet.members.get(id);
    const isThere = member?.link.kind === "connected" && member.heardMs > sinceMs;
    return isThere && stated.has(id);
  });
}
