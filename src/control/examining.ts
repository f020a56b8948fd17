import { alikeGroups } from "./checksum.js";
import { comparable, isOwed, isPending, openChecks, withChecks, type Checks } from "./checking.js";
import type { RoundPhase, Transition } from "./fleetState.js";
import { followersOf } from "./participation.js";
import {
  difference,
  impossible,
  isSame,
  judgeNumbers,
  judgeShard,
  type Opinion,
} from "./judgement.js";
import { recordOf, runOf, votersOf } from "./transition.js";
import { shardSizes } from "./work.js";

/**
 * What is wrong with the numbers of a round. First the parameters, since with wrong ones all else
 * is wrong too; then the shards; and where those are right, the sum.
 */
export type Finding =
  | { readonly kind: "sound" }
  /** Something is to be said yet before it can be told whether all is right. */
  | { readonly kind: "waiting" }
  /** More checks are needed; `why` where something is in doubt. */
  | { readonly kind: "ask"; readonly why: string | undefined }
  /** These hold other parameters than the others. */
  | { readonly kind: "odd"; readonly workers: readonly Blamed[] }
  /** These computed wrongly. */
  | { readonly kind: "wrong"; readonly workers: readonly Blamed[] }
  /** The shards are right, and their sum is not: it is to be made again. */
  | { readonly kind: "again"; readonly why: string }
  /** Nobody can say whose state is right. */
  | { readonly kind: "rewind"; readonly why: string }
  | { readonly kind: "fail"; readonly why: string };

export interface Blamed {
  readonly workerId: string;
  /** Of the process that did it, where that need not be the present one. */
  readonly incarnation?: string | undefined;
  readonly why: string;
  readonly shard?: number;
}

export function examine(t: Transition, phase: RoundPhase, members: readonly string[]): Finding {
  const state = examineState(t, members);
  if (state.kind !== "sound") return state;
  const shards = examineShards(t, phase, members);
  if (shards.kind !== "sound") return shards;
  return examineSums(t, phase, members);
}

/** Judges what these have said of the present state. */
export function examineState(t: Transition, members: readonly string[]): Finding {
  const { stated } = runOf(t);
  const { step } = recordOf(t);
  for (const group of alikeGroups(t, members)) {
    const judged = judgeNumbers(stated, votersOf(t, group));
    if (judged.kind === "waiting") return { kind: "waiting" };
    if (judged.kind === "tie") {
      const values = group.map((id) => `${stated.get(id)?.[0] ?? 0} on ${id}`).join(" and ");
      return { kind: "rewind", why: `the parameters of step ${step} have checksum ${values}` };
    }
    if (judged.kind === "odd") {
      const workers = judged.workers.map((workerId) => {
        const [first = 0, second] = stated.get(workerId) ?? [];
        const why =
          judged.value === undefined
            ? `its parameters of step ${step} changed in memory: their checksum was ${first} and is ${second ?? 0}`
            : `its parameters of step ${step} have checksum ${first}, and ${judged.value} on the others`;
        return { workerId, why };
      });
      return { kind: "odd", workers };
    }
  }
  return { kind: "sound" };
}

function examineShards(t: Transition, phase: RoundPhase, members: readonly string[]): Finding {
  const lies = impossibleResults(t, phase);
  if (lies.length > 0) return { kind: "wrong", workers: lies };
  let isWaiting = false;
  const asked = withChecks(t, phase, members);
  const isMore = [...asked].some(([id, checks]) => checks !== phase.checks.get(id));
  let disputed: number | undefined;
  for (const [shard, all] of phase.opinions) {
    const opinions = comparable(t, all);
    const verdict = judgeShard(opinions, votersOf(t, members));
    const at = `shard ${shard} of step ${recordOf(t).step}`;
    switch (verdict.kind) {
      case "agreed":
        break;
      case "not-finite":
        return { kind: "fail", why: notFinite(t, at, verdict.workers) };
      case "wrong":
        return {
          kind: "wrong",
          workers: verdict.workers.map((workerId) => ({
            workerId,
            incarnation: opinions.find((one) => one.workerId === workerId)?.incarnation,
            shard,
            why: `${at} came out wrong on it: ${wrongness(opinions, workerId, verdict.right)}`,
          })),
        };
      case "open":
        if (isPending(phase, shard, members) || isOwed(phase, shard, members)) isWaiting = true;
        else if (countOf(asked, shard) > countOf(phase.checks, shard)) disputed = shard;
        else return { kind: "fail", why: undecided(at, opinions) };
    }
  }
  if (isMore) {
    const at = `shard ${disputed ?? 0} of step ${recordOf(t).step}`;
    return {
      kind: "ask",
      why: disputed === undefined ? undefined : `${at} is in doubt and is computed again`,
    };
  }
  const isAsking = members.some((id) => openChecks(phase, id).length > 0);
  return isWaiting || isAsking ? { kind: "waiting" } : { kind: "sound" };
}

/** Who reported what cannot be: nobody else need be asked, and with mixed devices neither. */
function impossibleResults(t: Transition, phase: RoundPhase): readonly Blamed[] {
  const sizes = shardSizes(recordOf(t), phase.round);
  const blamed = new Map<string, Blamed>();
  for (const [shard, opinions] of phase.opinions) {
    for (const { workerId, incarnation, result } of opinions) {
      const how = impossible(result, phase.round, sizes);
      if (how === undefined) continue;
      const why = `it reported shard ${shard} of step ${recordOf(t).step}${how}`;
      blamed.set(workerId, { workerId, incarnation, shard, why });
    }
  }
  return [...blamed.values()];
}

/** Whether the sum is of several members of whom one is left, and none of the others has said what it came to. */
export function isUncompared(
  t: Transition,
  phase: RoundPhase,
  [only = "", another]: readonly string[],
): boolean {
  const isOfOne = another !== undefined || phase.dealt.size === 1;
  if (phase.round === "evaluation" || isOfOne) return false;
  return saidBeside(t, phase, only).length === 0;
}

/** Whether the only member is alone with its sum, and one that is gone came to another. */
function isContradicted(
  t: Transition,
  phase: RoundPhase,
  [only = "", another]: readonly string[],
): boolean {
  const own = phase.sums.get(only);
  if (another !== undefined || own === undefined || phase.sumsTried > 0) return false;
  return phase.sums.size > 1 && !saidBeside(t, phase, only).includes(own);
}

/** What those came to who have gone, or follow. */
function saidBeside(t: Transition, { sums }: RoundPhase, member: string): readonly number[] {
  return [
    ...[...sums].flatMap(([id, sum]) => (id === member ? [] : sum)),
    ...followersOf(runOf(t)).flatMap(({ stage }) => stage.sum ?? []),
  ];
}

function examineSums(t: Transition, phase: RoundPhase, members: readonly string[]): Finding {
  if (phase.round === "evaluation" || !members.every((id) => phase.sums.has(id))) {
    return { kind: "sound" };
  }
  const { step } = recordOf(t);
  const sums = new Map([...phase.sums].map(([id, sum]) => [id, [sum]]));
  const judged = judgeNumbers(sums, votersOf(t, members));
  if (judged.kind === "agreed" || judged.kind === "waiting") {
    return isContradicted(t, phase, members)
      ? { kind: "again", why: `the sum of step ${step} came out differently on one that is gone` }
      : { kind: "sound" };
  }
  const values = members.map((id) => `${phase.sums.get(id) ?? 0} on ${id}`).join(", ");
  const what = `the sum of step ${step} has checksum ${values}`;
  if (phase.sumsTried === 0) return { kind: "again", why: what };
  if (judged.kind === "tie") return { kind: "fail", why: `${what}, again and again` };
  const why = `its sum of step ${step} came out different from that of the others, twice`;
  return { kind: "wrong", workers: judged.workers.map((workerId) => ({ workerId, why })) };
}

function countOf(checks: Checks, shard: number): number {
  return [...checks.values()].flat().filter((one) => one.shard === shard).length;
}

function undecided(at: string, opinions: readonly Opinion[]): string {
  const names = [...new Set(opinions.map(({ workerId }) => workerId))].join(" and ");
  return `${at} comes out differently on ${names}, again and again, and no third worker is here to decide`;
}

function notFinite(t: Transition, at: string, workers: readonly string[]): string {
  const [first = "", second] = workers;
  const again = second === undefined ? "each of two times" : `and on ${second} as well`;
  const [checkpoint] = recordOf(t).checkpoints;
  const kept =
    checkpoint === undefined ? "" : `; the last good checkpoint is of step ${checkpoint.step}`;
  return `${at} is not finite on ${first}, ${again}: the rate may be too high${kept}`;
}

function wrongness(
  opinions: readonly Opinion[],
  workerId: string,
  right: Opinion | undefined,
): string {
  const own = opinions.filter((opinion) => opinion.workerId === workerId);
  const first = own[0];
  const other =
    right ?? own.find(({ result }) => first !== undefined && !isSame(result, first.result));
  if (first === undefined || other === undefined) return "it is another";
  const text = difference(first.result, other.result);
  return right === undefined ? `it computed it twice, and differently (${text})` : text;
}
