import type { RoundPhase, Run, Transition } from "./fleetState.js";
import { memberIds } from "./participation.js";
import { changeRun, recordOf, runOf, withEntry } from "./transition.js";

/**
 * The same state has the same parameters, bit for bit, on every worker of one arithmetic. Whatever
 * a worker says of the present state is kept, and judged before anything is built on it. With mixed
 * devices each kind of arithmetic goes its own way, and is held to its own kind only.
 */

/** Takes a checksum of the state of the record's step. */
export function takeChecksum(t: Transition, workerId: string, value: number): Transition {
  const { stated } = runOf(t);
  const known = stated.get(workerId) ?? [];
  return known.includes(value)
    ? t
    : changeRun(t, { stated: withEntry(stated, workerId, [...known, value]) });
}

/** Those who have said what they hold. */
export function membersHeard(t: Transition): readonly string[] {
  const { stated } = runOf(t);
  return memberIds(runOf(t)).filter((id) => stated.has(id));
}

/**
 * The checksum that the worker's state must have: what it said itself as a member, or what another
 * one of its arithmetic did; undefined while nobody has said.
 */
export function checksumAt(t: Transition, workerId: string): number | undefined {
  const { stated } = runOf(t);
  const members = memberIds(runOf(t));
  const own = members.includes(workerId) ? stated.get(workerId)?.at(-1) : undefined;
  const arithmetic = arithmeticOf(t, workerId);
  const alike = members.filter((id) => arithmeticOf(t, id) === arithmetic);
  return own ?? alike.flatMap((id) => stated.get(id) ?? [])[0];
}

/**
 * The sum that the members agree on. That of one who is gone was judged by nobody; zero where none
 * of the members has said.
 */
export function sumOfMembers(t: Transition, { sums }: RoundPhase): number {
  return memberIds(runOf(t)).flatMap((id) => sums.get(id) ?? [])[0] ?? 0;
}

/** Forgets what was said: the state is another one. */
export const noChecksums: Run["stated"] = new Map();

/** The workers whose parameters must be the same. */
export function alikeGroups(
  t: Transition,
  workers: readonly string[],
): readonly (readonly string[])[] {
  if (!recordOf(t).plan.settings.mixedDevices) return [workers];
  const groups = new Map<string, readonly string[]>();
  for (const workerId of workers) {
    const key = arithmeticOf(t, workerId);
    groups.set(key, [...(groups.get(key) ?? []), workerId]);
  }
  return [...groups.values()];
}

/** Workers of equal text get the same bits. */
export function arithmeticOf(t: Transition, workerId: string): string {
  const mixed = recordOf(t).plan.settings.mixedDevices;
  return mixed ? (t.fleet.members.get(workerId)?.hello.numerics ?? "") : "";
}
