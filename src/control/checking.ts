import { auditedInEvaluation, isAudited } from "../plan/audit.js";
import { arithmeticOf } from "./checksum.js";
import { countOf, shardsOf, type Deal } from "./dealing.js";
import type { RoundPhase, Transition } from "./fleetState.js";
import { judgeShard, type Opinion } from "./judgement.js";
import type { Check } from "./message.js";
import { speedsOf } from "./pace.js";
import { recordOf, runOf, votersOf } from "./transition.js";

/**
 * Who computes which shard once more, to compare: a sample of all shards, so that a worker that
 * computes wrongly is found, and every shard about which something is in doubt.
 */

export type Checks = ReadonlyMap<string, readonly Check[]>;

/** How often one worker is asked for a shard, the computation for the sum included. */
const opinionsMax = 2;

/** The checks of the round so far, and those that are needed and nobody is at. */
export function withChecks(t: Transition, phase: RoundPhase, members: readonly string[]): Checks {
  const checks = new Map(phase.checks);
  const sample = sampleOf(t, phase);
  for (let shard = 0; shard < phase.shardCount; shard += 1) {
    const doubt = doubtOf(t, phase, { shard, members, isSample: sample(shard) });
    if (doubt === "none" || isPending(phase, shard, members)) continue;
    // Whoever it was dealt to will say what it got.
    if (phase.opinions.has(shard) && isOwed(phase, shard, members)) continue;
    const asked = [...phase.checks.values()].flat().filter((check) => check.shard === shard);
    let number = Math.max(0, ...asked.map((check) => check.number));
    for (const workerId of candidates(t, phase, { shard, doubt, members, checks })) {
      number += 1;
      checks.set(workerId, [...(checks.get(workerId) ?? []), { shard, number }]);
    }
  }
  return checks;
}

/** Whether a member was asked to check the shard, and has not reported it. */
export function isPending(phase: RoundPhase, shard: number, members: readonly string[]): boolean {
  return members.some((id) => openChecks(phase, id).some((check) => check.shard === shard));
}

/** What a worker was asked to check and has not reported. */
export function openChecks({ checks, opinions }: RoundPhase, workerId: string): readonly Check[] {
  return (checks.get(workerId) ?? []).filter(
    ({ shard, number }) =>
      !(opinions.get(shard) ?? []).some(
        (opinion) => opinion.workerId === workerId && opinion.result.check === number,
      ),
  );
}

/** Whether the member that the shard was dealt to has not reported it. */
export function isOwed(phase: RoundPhase, shard: number, members: readonly string[]): boolean {
  const owner = ownerOf(phase.dealt, shard);
  const opinions = phase.opinions.get(shard) ?? [];
  return (
    owner !== undefined &&
    members.includes(owner) &&
    !opinions.some(({ workerId, result }) => workerId === owner && result.check === 0)
  );
}

/** What there is to judge: with mixed devices each arithmetic has results of its own. */
export function comparable(t: Transition, opinions: readonly Opinion[]): readonly Opinion[] {
  const [first] = opinions;
  if (first === undefined || !recordOf(t).plan.settings.mixedDevices) return opinions;
  const arithmetic = arithmeticOf(t, first.workerId);
  return opinions.filter(({ workerId }) => arithmeticOf(t, workerId) === arithmetic);
}

/** Which shards are compared as a matter of course. With mixed devices nothing is: each has its own bits. */
function sampleOf(t: Transition, phase: RoundPhase): (shard: number) => boolean {
  const { plan, step } = recordOf(t);
  const { settings } = plan;
  if (settings.mixedDevices) return () => false;
  if (phase.round === "training") return (shard) => isAudited(settings, step, shard);
  const audited = auditedInEvaluation(settings, step, shardsByWorker(phase).values());
  return (shard) => audited.has(shard);
}

/** By worker: the shards whose result is its own, or will be. Who is gone still answers for what it gave. */
function shardsByWorker({ shardCount, results, dealt }: RoundPhase): Map<string, number[]> {
  const owners = new Map<number, string>();
  for (const [id, ranges] of dealt) {
    for (const shard of ranges.flatMap(shardsOf)) owners.set(shard, id);
  }
  const shards = new Map<string, number[]>();
  for (let shard = 0; shard < shardCount; shard += 1) {
    const id = results.get(shard)?.workerId ?? owners.get(shard);
    if (id === undefined) continue;
    const known = shards.get(id);
    if (known === undefined) shards.set(id, [shard]);
    else known.push(shard);
  }
  return shards;
}

/** "sample": one more opinion is wanted as a matter of course; "dispute": because of those there are. */
function doubtOf(
  t: Transition,
  phase: RoundPhase,
  {
    shard,
    members,
    isSample,
  }: {
    readonly shard: number;
    readonly members: readonly string[];
    readonly isSample: boolean;
  },
): "none" | "sample" | "dispute" {
  const opinions = comparable(t, phase.opinions.get(shard) ?? []);
  if (opinions.length > 0 && judgeShard(opinions, votersOf(t, members)).kind !== "agreed")
    return "dispute";
  if (!isSample) return "none";
  const workers = new Set(opinions.map(({ workerId }) => workerId));
  const isEnough = opinions.length > 1 && workers.size >= Math.min(2, members.length);
  return isEnough ? "none" : "sample";
}

/**
 * A worker that has no opinion yet: the one that will be done first. Where there is none, everyone
 * computes the shard once more: whoever contradicts itself is wrong.
 */
function candidates(
  t: Transition,
  phase: RoundPhase,
  {
    shard,
    doubt,
    members,
    checks,
  }: {
    readonly shard: number;
    readonly doubt: "sample" | "dispute";
    readonly members: readonly string[];
    readonly checks: Checks;
  },
): readonly string[] {
  const opinions = phase.opinions.get(shard) ?? [];
  const arithmetic = arithmeticOf(t, opinions[0]?.workerId ?? members[0] ?? "");
  const able = members.filter((id) => arithmeticOf(t, id) === arithmetic);
  const isOwner = (id: string): boolean => ownerOf(phase.dealt, shard) === id;
  const impartial = able.filter(
    (id) => !opinions.some(({ workerId }) => workerId === id) && !isOwner(id),
  );
  const best = soonest(t, phase, impartial, checks);
  if (best !== undefined) return [best];
  const willing = able.filter(
    (id) => opinions.filter(({ workerId }) => workerId === id).length < opinionsMax,
  );
  // An owner that has not said anything yet is heard first, unless it is alone.
  return doubt === "sample" ? willing.filter((id) => isOwner(id) && able.length === 1) : willing;
}

function ownerOf(dealt: Deal, shard: number): string | undefined {
  return [...dealt].find(([, ranges]) => ranges.flatMap(shardsOf).includes(shard))?.[0];
}

function soonest(
  t: Transition,
  { dealt }: RoundPhase,
  workers: readonly string[],
  checks: Checks,
): string | undefined {
  const speeds = speedsOf(runOf(t).pace, workers);
  const times = workers.map((id, i) => {
    const units = countOf(dealt.get(id) ?? []) + (checks.get(id) ?? []).length + 1;
    return units / (speeds[i] ?? 1);
  });
  return workers[times.indexOf(Math.min(...times))];
}
