import type { Member, RoundPhase, Transition } from "./fleetState.js";
import { countOf, shardsOf } from "./dealing.js";
import { giveUp } from "./members.js";
import { foreign, hasStruckOut, memberIds } from "./participation.js";
import { enter, recordOf, runOf } from "./transition.js";

/**
 * A worker that beats and gets nowhere. Each unit of a round (a shard, the exchange) has a
 * deadline from what such units took before; past it, the worker that holds the others up is lost.
 * The last one that holds the state has more time, and for ever where nobody could take over.
 */

/** A unit may take this many times what it usually takes, and `unitFloorMs` more. */
const patience = 10;

/** The last holder of the state may take this many times as long. */
const lastPatience = 3;

/** Starts the deadlines of all members, as after every deal. */
export function touched(phase: RoundPhase, nowMs: number): RoundPhase {
  const progress = new Map(
    [...phase.dealt.keys()].map((id) => [
      id,
      { done: phase.progress.get(id)?.done ?? 0, sinceMs: nowMs },
    ]),
  );
  return { ...phase, progress };
}

/** Takes a beat: another number of shards is progress. */
export function beaten(t: Transition, workerId: string, done: number): Transition {
  const phase = t.fleet.run?.phase;
  if (phase?.kind !== "round" || phase.progress.get(workerId)?.done === done) return t;
  if (!phase.dealt.has(workerId)) return t;
  const progress = new Map(phase.progress).set(workerId, {
    done,
    sinceMs: t.fleet.clock.awakeMs,
  });
  return enter(t, { ...phase, progress });
}

/** Loses the worker that holds up the round past its deadline, if there is one. */
export function loseStuck(t: Transition, phase: RoundPhase): Transition {
  const members = memberIds(runOf(t));
  if (members.length < 2 && !hasSuccessor(t)) return t;
  const owing = members.filter((id) => owes(phase, id));
  const late = owing.filter((id) => isLate(t, phase, id));
  const computing = late.find((id) => isComputing(phase, id));
  if (computing !== undefined) {
    return giveUp(t, computing, `${sinceText(t, phase, computing)} it finished no shard`);
  }
  if (late.length === 0 || late.length < owing.length) return t;
  const blamed = mostWaitedFor(t, owing);
  return giveUp(t, blamed, `${sinceText(t, phase, blamed)} the exchange waits for it`);
}

function isLate({ fleet }: Transition, phase: RoundPhase, workerId: string): boolean {
  const { firstUnitMs, unitFloorMs } = fleet.options;
  const { pace } = fleet.run ?? {};
  const since = phase.progress.get(workerId)?.sinceMs ?? phase.startedMs;
  const usualMs = isComputing(phase, workerId) ? pace?.shardMs : pace?.exchangeMs;
  const limitMs = usualMs === undefined ? firstUnitMs : unitFloorMs + patience * usualMs;
  const times = phase.dealt.size === 1 ? lastPatience : 1;
  return fleet.clock.awakeMs - since >= times * limitMs;
}

/** Whether another worker could go on with the job, from its checkpoint. */
function hasSuccessor(t: Transition): boolean {
  const run = runOf(t);
  const record = recordOf(t);
  return [...t.fleet.members.values()].some(
    (member) =>
      member.link.kind === "connected" &&
      run.participants.get(member.workerId)?.stage.kind !== "member" &&
      hasStruckOut(run, member) === undefined &&
      foreign(record, member) === undefined,
  );
}

function isComputing(phase: RoundPhase, workerId: string): boolean {
  const shards = countOf(phase.dealt.get(workerId) ?? []);
  return (phase.progress.get(workerId)?.done ?? 0) < shards;
}

/** Whether the round waits for this worker: for the sum, or for a shard dealt to it. */
function owes(phase: RoundPhase, workerId: string): boolean {
  if (phase.round === "training" && !phase.sums.has(workerId)) return true;
  const shards = (phase.dealt.get(workerId) ?? []).flatMap(shardsOf);
  return shards.some((shard) => !phase.results.has(shard));
}

/** Who is out of reach of NATS is to blame; else whom most others wait for; of equals the first. */
function mostWaitedFor({ fleet }: Transition, candidates: readonly string[]): string {
  const members = candidates.flatMap((id) => fleet.members.get(id) ?? []);
  const cutOff = members.find(
    ({ beat }) => beat !== undefined && beat.natsAgeMs >= fleet.options.leaseMs,
  );
  if (cutOff !== undefined) return cutOff.workerId;
  const [first = ""] = candidates;
  return candidates.reduce(
    (worst, id) => (votes(members, id) > votes(members, worst) ? id : worst),
    first,
  );
}

function votes(members: readonly Member[], workerId: string): number {
  return members.filter(({ beat }) => beat?.waitingFor.split(", ").includes(workerId)).length;
}

function sinceText({ fleet }: Transition, phase: RoundPhase, workerId: string): string {
  const since = phase.progress.get(workerId)?.sinceMs ?? phase.startedMs;
  return `for ${Math.round((fleet.clock.awakeMs - since) / 1000)} s`;
}
