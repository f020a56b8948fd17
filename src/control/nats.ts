import type { Beat, Fleet, Member, Transition } from "./fleetState.js";
import { memberIds } from "./participation.js";
import { change, runOf } from "./transition.js";

/**
 * Whose fault it is that NATS does not answer. Where it answers nobody, or not the coordinator, it
 * is NATS itself: the deadlines of a round stand still, and nobody is evicted. Where it answers all
 * but one, that one is cut off. While it is not clear which, we wait.
 */

/** A round trip longer ago than this is no answer. Workers ask several times in that time. */
const silentMs = 3_000;
/** One at most this long ago is a sign of life; between the two it may be either. */
const freshMs = 2_000;
/** Two beats have to tell of it: one may have been written by a process that had just stood still. */
const confirmedMs = 400;
/** After an outage not all are back at the same moment. */
const returnMs = 5_000;

export function natsChanged(t: Transition, isUp: boolean): Transition {
  const awayMs = isUp && t.fleet.nats.isUp ? t.fleet.nats.awayMs : t.fleet.clock.awakeMs;
  return change(t, { nats: { isUp, awayMs } });
}

export function isNatsSilent({ natsAgeMs }: Beat): boolean {
  return natsAgeMs >= silentMs;
}

/** Whether NATS is away from the coordinator, or from most of the members. */
export function isNatsAway(t: Transition): boolean {
  if (!t.fleet.nats.isUp) return true;
  const members = reached(t);
  return 2 * members.filter((member) => isSilent(t.fleet, member)).length > members.length;
}

/** Notes that NATS is away just now. */
export function noteAway(t: Transition): Transition {
  const { isUp, awayMs } = t.fleet.nats;
  const now = t.fleet.clock.awakeMs;
  return awayMs === now ? t : change(t, { nats: { isUp, awayMs: now } });
}

/** Members that NATS does not answer, while it answers all others and has for a while. */
export function cutOff(t: Transition): readonly string[] {
  const { nats, clock } = t.fleet;
  if (!nats.isUp || clock.awakeMs - nats.awayMs < returnMs) return [];
  const members = reached(t);
  const silent = members.filter((member) => isSilent(t.fleet, member));
  const others = members.filter((member) => !silent.includes(member));
  const isClear = others.length > 0 && others.every((member) => ageMs(t.fleet, member) < freshMs);
  return isClear ? silent.map(({ workerId }) => workerId) : [];
}

/** Members whose child has a connection to NATS. */
function reached(t: Transition): readonly Member[] {
  return memberIds(runOf(t))
    .flatMap((id) => t.fleet.members.get(id) ?? [])
    .filter(({ beat }) => beat !== undefined && beat.natsAgeMs >= 0);
}

function isSilent({ clock }: Fleet, { natsSilentMs }: Member): boolean {
  return natsSilentMs !== undefined && clock.awakeMs - natsSilentMs >= confirmedMs;
}

/** By now; of a worker that has itself fallen silent nothing is known, and its lease decides. */
function ageMs({ clock, options }: Fleet, { beat, beatMs }: Member): number {
  return (beat?.natsAgeMs ?? 0) + Math.min(clock.awakeMs - beatMs, 2 * options.beatMs);
}
