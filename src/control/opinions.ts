import type { Blamed } from "./examining.js";
import { shardsOf } from "./dealing.js";
import type { Member, RoundPhase } from "./fleetState.js";
import type { ShardResult } from "./message.js";

/** What workers have said of the shards of a round. */

/** The round with a report of these results; what was known before stays as it is. */
export function withResults(
  phase: RoundPhase,
  by: Pick<Member, "workerId" | "incarnation">,
  shards: readonly ShardResult[],
): RoundPhase {
  const { workerId, incarnation } = by;
  const results = new Map(phase.results);
  const opinions = new Map(phase.opinions);
  for (const result of shards) {
    const { shard, check } = result;
    const known = opinions.get(shard) ?? [];
    const before = known.find((one) => one.workerId === workerId && one.result.check === check);
    // What it said first is what is judged, so nothing else of it may count.
    const said = before?.result ?? result;
    if (check === 0 && !results.has(shard)) results.set(shard, { result: said, workerId });
    if (before === undefined) opinions.set(shard, [...known, { workerId, incarnation, result }]);
  }
  return { ...phase, results, opinions };
}

/** The round without what these workers have said. */
export function without(phase: RoundPhase, blamed: readonly Blamed[]): RoundPhase {
  const isGone = (id: string): boolean => blamed.some(({ workerId }) => workerId === id);
  const results = [...phase.results].filter(([, { workerId }]) => !isGone(workerId));
  const opinions = [...phase.opinions].map(
    ([shard, all]) => [shard, all.filter(({ workerId }) => !isGone(workerId))] as const,
  );
  return {
    ...phase,
    results: new Map(results),
    opinions: new Map(opinions.filter(([, all]) => all.length > 0)),
    checks: new Map([...phase.checks].filter(([id]) => !isGone(id))),
  };
}

/** Whether one that was dealt shards has not reported all of them. */
export function owesResults({ dealt, opinions }: RoundPhase, workerId: string): boolean {
  return (dealt.get(workerId) ?? [])
    .flatMap(shardsOf)
    .some((shard) => !(opinions.get(shard) ?? []).some((one) => one.workerId === workerId));
}
