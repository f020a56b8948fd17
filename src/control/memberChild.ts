import type { ChildEvent } from "./memberEvent.js";
import { failChild, sayLoaded, sayPrepared, startChild } from "./memberJob.js";
import { report, takeShard, takeSummed } from "./memberRound.js";
import { quitIfDone } from "./memberLeaving.js";
import {
  say,
  set,
  setChild,
  withChild,
  type MemberTransition,
  type Working,
} from "./memberState.js";

/** What the child says, and what its end means. */

/** Killed so often at the same point, it had too little memory. */
const killsMax = 3;

type ChildWord = Exclude<ChildEvent, { readonly kind: "exited" }>;

export function takeChildEvent(t: MemberTransition, event: ChildEvent): MemberTransition {
  if (event.kind === "exited") return takeExit(t, event.code, event.signal);
  // What a child says after it was told to end is of no use.
  if (t.member.child.kind !== "working") return t;
  const child: Working = { ...t.member.child, heardMs: t.nowMs, isSilent: false };
  return takeWord(withChild(t, child), child, event);
}

function takeWord(t: MemberTransition, child: Working, event: ChildWord): MemberTransition {
  const { job, attempt } = child.order;
  switch (event.kind) {
    case "ready":
      return t;
    case "prepared":
      return sayPrepared(setChild(t, child, { probe: event.probe }), {
        ...child,
        probe: event.probe,
      });
    case "loaded":
      return takeLoaded(t, child, event);
    case "shard":
      return takeShard(t, child, event);
    case "summed":
      return takeSummed(t, child, event);
    case "applied": {
      const { step, parameterChecksum } = event;
      if (step !== child.step) return t;
      return report(
        say(setChild(t, child, { held: { step, parameterChecksum } }), {
          job,
          attempt,
          ...event,
        }),
      );
    }
    case "saved": {
      const saved = { job, attempt, ...event };
      return say(setChild(t, child, { saved }), saved);
    }
    case "save-failed":
      return say(t, { job, attempt, ...event });
    case "exchanging": {
      const { waitingFor, natsAgeMs, residentBytes, unitMs } = event;
      return withChild(t, { ...child, waitingFor, natsAgeMs, residentBytes, unitMs });
    }
    case "failed":
      return failChild(t, child, event.cause, event.message);
    case "log":
      return say(t, { job, ...event });
  }
}

function takeLoaded(
  t: MemberTransition,
  child: Working,
  { step, parameterChecksum }: Extract<ChildEvent, { readonly kind: "loaded" }>,
): MemberTransition {
  if (child.load?.step !== step || child.step !== step || child.held !== undefined) return t;
  const held = { step, parameterChecksum };
  return report(sayLoaded(setChild(t, child, { held }), { ...child, held }));
}

function takeExit(
  t: MemberTransition,
  code: number | null,
  signal: string | null,
): MemberTransition {
  const { child, next, leaving } = t.member;
  const gone = set(t, { child: { kind: "none" } });
  const told =
    child.kind === "working"
      ? sayDied(gone, child, code, signal)
      : child.kind === "closing" && child.answer
        ? say(gone, { kind: "released", job: child.job })
        : gone;
  if (leaving !== undefined) return quitIfDone(told);
  return next === undefined ? told : startChild(told, next);
}

/** The kernel's way to say that memory is out is a SIGKILL; so is an operator's to say anything. */
function sayDied(
  t: MemberTransition,
  { order, step }: Working,
  code: number | null,
  signal: string | null,
): MemberTransition {
  const { job, attempt } = order;
  const { kills } = t.member;
  const isSame = kills?.job === job && kills.step === step;
  const count = signal === "SIGKILL" ? 1 + (isSame ? kills.count : 0) : 0;
  const cause = count >= killsMax ? "memory" : "exit";
  const message = exitText(code, signal);
  return say(set(t, { kills: { job, step, count } }), {
    ...{ kind: "failed", job, attempt, cause, message },
  });
}

function exitText(code: number | null, signal: string | null): string {
  if (signal === "SIGKILL") return "its process was killed with SIGKILL, as when memory runs out";
  if (signal === "SIGILL")
    return "its process was ended by SIGILL, as where the CPU lacks instructions that TensorFlow uses (AVX; `bitfleet doctor`)";
  return signal === null
    ? `its process ended with exit code ${code ?? "unknown"}`
    : `its process was ended by ${signal}`;
}
