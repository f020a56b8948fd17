import type { Range } from "../plan/tree.js";
import type { ChildEvent } from "./memberEvent.js";
import {
  say,
  setChild,
  toChild,
  withChild,
  type MemberRound,
  type MemberTransition,
  type Working,
} from "./memberState.js";
import type { Check, WorkerCommand } from "./message.js";

/**
 * A worker's part of a round: a list of shards that only grows, and a report when all of it is
 * computed and, in training, the finished sum is here. What was computed for a step counts in
 * every generation of it, and after a new start of the coordinator too.
 */

type RoundCommand = Extract<WorkerCommand, { readonly kind: "round" }>;

export function takeRound(
  t: MemberTransition,
  child: Working,
  command: RoundCommand,
): MemberTransition {
  if (command.step !== child.step) return t;
  const { identity } = t.member;
  const mine = command.members.find(({ address }) => address === identity.incarnation);
  const follows = mine === undefined && command.followers.includes(identity.incarnation);
  if (mine === undefined && !follows) return t;
  const { round } = child;
  const before = round?.step === command.step && round.round === command.round ? round : undefined;
  if (before !== undefined && command.generation < before.generation) return t;
  const known = new Set(before?.dealt);
  const added = shardsOf(mine?.ranges ?? []).filter((shard) => !known.has(shard));
  const asked = before?.checks ?? [];
  const wanted = mine?.checks ?? [];
  const checks = wanted.filter((check) => !asked.some((one) => isSameCheck(one, check)));
  const trial = Math.max(command.trial, before?.trial ?? 0);
  const next: MemberRound = {
    round: command.round,
    step: command.step,
    generation: command.generation,
    members: command.members,
    follows,
    dealt: [...(before?.dealt ?? []), ...added],
    computed: before?.computed ?? new Map(),
    checks: [...asked, ...checks],
    checked: before?.checked ?? [],
    parameterChecksum: before?.parameterChecksum,
    computeMs: before?.computeMs ?? 0,
    trial,
    sum: before?.trial === trial ? before.sum : undefined,
    reported: false,
  };
  const so = setChild(t, child, { round: next });
  // The same generation again, after a cut: the child knows all of it.
  if (before?.generation === command.generation) return report(so);
  return report(dealToChild(so, command, { shards: added, checks, first: before === undefined }));
}

export function takeShard(
  t: MemberTransition,
  child: Working,
  event: Extract<ChildEvent, { readonly kind: "shard" }>,
): MemberTransition {
  const { round, order } = child;
  const isCurrent =
    round !== undefined &&
    event.attempt === order.attempt &&
    event.step === round.step &&
    event.round === round.round;
  if (!isCurrent) return t;
  const { result } = event;
  const parameterChecksum = event.parameterChecksum ?? round.parameterChecksum;
  if (result.check > 0) {
    const checked = [...round.checked, result];
    return report(withChild(t, { ...child, round: { ...round, checked, parameterChecksum } }));
  }
  if (round.computed.has(result.shard)) return t;
  const computed = new Map(round.computed).set(result.shard, result);
  const computeMs = round.computeMs + event.computeMs;
  return report(
    withChild(t, { ...child, round: { ...round, computed, computeMs, parameterChecksum } }),
  );
}

export function takeSummed(
  t: MemberTransition,
  child: Working,
  {
    attempt,
    step,
    trial,
    sumChecksum,
    exchangeMs,
  }: Extract<ChildEvent, { readonly kind: "summed" }>,
): MemberTransition {
  const { round, order } = child;
  if (round?.round !== "training" || attempt !== order.attempt || step !== round.step) return t;
  if (trial !== round.trial) return t;
  return report(setChild(t, child, { round: { ...round, sum: { sumChecksum, exchangeMs } } }));
}

/** Reports once for each generation, as soon as there is all to report. */
export function report(t: MemberTransition): MemberTransition {
  const { child } = t.member;
  if (child.kind !== "working" || child.round === undefined) return t;
  const { round, held, order } = child;
  if (round.reported || held?.step !== round.step || !isFinished(round)) return t;
  return say(setChild(t, child, { round: { ...round, reported: true } }), {
    kind: "report",
    job: order.job,
    attempt: order.attempt,
    generation: round.generation,
    step: round.step,
    round: round.round,
    trial: round.trial,
    sumChecksum: round.sum?.sumChecksum ?? 0,
    parameterChecksum: round.parameterChecksum ?? held.parameterChecksum,
    shards: [...round.computed.values(), ...round.checked],
    computeMs: round.computeMs,
    exchangeMs: round.sum?.exchangeMs ?? 0,
  });
}

/** The ranges whose nodes this worker has made, or makes, for the step that it is at. */
export function dealtRanges(child: Working, address: string): readonly Range[] {
  const { round, held } = child;
  if (round?.round !== "training" || round.step !== held?.step) return [];
  return round.members.find((member) => member.address === address)?.ranges ?? [];
}

function isFinished({ dealt, computed, checks, checked, round, sum }: MemberRound): boolean {
  return (
    dealt.every((shard) => computed.has(shard)) &&
    checks.length === checked.length &&
    (round === "evaluation" || sum !== undefined)
  );
}

function isSameCheck(a: Check, b: Check): boolean {
  return a.shard === b.shard && a.number === b.number;
}

function dealToChild(
  t: MemberTransition,
  { attempt, step, round, generation, trial, shardCount, members, followers }: RoundCommand,
  list: {
    readonly shards: readonly number[];
    readonly checks: readonly Check[];
    readonly first: boolean;
  },
): MemberTransition {
  const isNew = list.first || list.shards.length > 0 || list.checks.length > 0;
  const listed = isNew ? toChild(t, { kind: "compute", attempt, step, round, ...list }) : t;
  return round === "training"
    ? toChild(listed, {
        ...{ kind: "deal", attempt, generation, step, trial, shardCount, members, followers },
      })
    : listed;
}

function shardsOf(ranges: readonly Range[]): readonly number[] {
  return ranges.flatMap(({ first, end }) =>
    Array.from({ length: end - first }, (_, i) => first + i),
  );
}
