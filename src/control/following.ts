import { checksumAt } from "./checksum.js";
import type { Following, RoundPhase, Transition } from "./fleetState.js";
import { staying } from "./leaving.js";
import { joinFailed } from "./joining.js";
import {
  connectedMembers,
  followersOf,
  formGeneration,
  isConnected,
  memberIds,
  participantsIn,
  setAside,
} from "./participation.js";
import {
  changeParticipant,
  changeRun,
  forEach,
  log,
  recordOf,
  runOf,
  send,
  withEntry,
} from "./transition.js";

/**
 * Joining while the others go on. A donor keeps one snapshot of the state at a boundary. A follower
 * takes it, collects the finished sums of the rounds from there on like everybody, and applies them
 * on top; it owns no part of the exchange and has no shards, so nobody depends on it. Once it is
 * level with the members, holding state and sum of a round that commits, it is one of them.
 */

/** Whole rounds that a follower may be behind; it holds as many sums, and those of a begun one and the one under way. */
const behindMax = 3;

/** A commit waits for a follower as long as a step usually takes, and at least so long. */
const waitFloorMs = 250;

/** At a boundary from which the members go on, or in a round: those who are ready begin to follow, but `except`. */
export function beginFollowing(t: Transition, except: readonly string[] = []): Transition {
  const { step } = recordOf(t);
  const since = runOf(t).phase.kind === "round" ? step + 1 : step;
  const donors = freeDonors(t);
  const ready = participantsIn(runOf(t), "ready").filter((id) => mayFollow(t, id));
  const joiners = ready.filter((id) => !except.includes(id));
  return forEach(t, joiners, (so, workerId) => {
    const donor = donorFor(so, workerId, donors);
    if (donor === undefined) return so;
    const served = isServing(so, donor) ? so : sendOffer(so, donor);
    const { generation } = recordOf(so);
    const stage: Following = {
      ...{ kind: "following", step, since, donor, generation, held: undefined, sum: undefined },
    };
    return sendFollow(changeParticipant(served, workerId, { stage }), workerId, stage);
  });
}

/** Those who follow from the present state on. */
export function begunNow(t: Transition): readonly string[] {
  const { step } = recordOf(t);
  return followersOf(runOf(t)).flatMap(({ workerId, stage }) =>
    stage.step === step ? workerId : [],
  );
}

/** Sends to the donor that it is to serve the present state. */
export function sendOffer(t: Transition, donor: string): Transition {
  const { name, attempt, step } = recordOf(t);
  return send(t, donor, { kind: "offer", job: name, attempt, step });
}

/** A donor that is back is told again, where somebody waits for the present state of it. */
export function repeatOffer(t: Transition, workerId: string): Transition {
  const { step } = recordOf(t);
  const isAwaited = followersOf(runOf(t)).some(
    ({ stage }) => stage.donor === workerId && stage.step === step && stage.held === undefined,
  );
  return isAwaited ? sendOffer(t, workerId) : t;
}

/** A follower says that it holds a state, and the sum of that state's round if it has that as well. */
export function takeFollowed(
  t: Transition,
  workerId: string,
  stage: Following,
  { step, parameterChecksum }: { readonly step: number; readonly parameterChecksum: number },
  sum: number | undefined,
): Transition {
  if (step !== recordOf(t).step) return t;
  const held = { step, parameterChecksum };
  return changeParticipant(t, workerId, { stage: { ...stage, held, sum } });
}

/** The step's sum is made anew: what followers have of it is not it. */
export function forgetSums(t: Transition): Transition {
  return forEach(t, followersOf(runOf(t)), (so, { workerId, stage }) =>
    changeParticipant(so, workerId, { stage: { ...stage, sum: undefined } }),
  );
}

/**
 * All members have reported: the commit waits for followers that are level but for the sum, or
 * that could not follow any longer, and for no others. Undefined when it is time to commit.
 */
export function awaitFollowers(t: Transition, phase: RoundPhase): RoundPhase | undefined {
  const { awakeMs } = t.fleet.clock;
  if (awaited(t).length === 0) return undefined;
  const sinceMs = phase.completeSinceMs ?? awakeMs;
  const usualMs = Math.max(waitFloorMs, runOf(t).pace.stepMs ?? 0);
  if (awakeMs - sinceMs >= Math.min(usualMs, t.fleet.options.joinMs)) return undefined;
  return { ...phase, completeSinceMs: sinceMs };
}

/**
 * Before a commit: who has reported the state and that sum becomes a member; whoever was waited for in vain
 * tries again later. All others go on following.
 */
export function admitFollowers(t: Transition, sum: number): Transition {
  const late = awaited(t).map(({ workerId }) => workerId);
  const rid = forEach(t, late, (so, workerId) =>
    joinFailed(so, workerId, "it did not keep up with the others"),
  );
  const { step } = recordOf(rid);
  return forEach(rid, followersOf(runOf(rid)), (so, { workerId, stage }) => {
    if (stage.held?.step !== step || stage.sum === undefined) return so;
    return stage.sum === sum
      ? admit(so, workerId, stage, step + 1)
      : setAside(so, workerId, `its sum of step ${step} was another than that of the others`);
  });
}

/** At a boundary: whoever holds the present state is a member, as after an evaluation. */
export function admitLevel(t: Transition): Transition {
  const { step } = recordOf(t);
  const before = memberIds(runOf(t)).length;
  const admitted = forEach(t, followersOf(runOf(t)), (so, { workerId, stage }) =>
    stage.held?.step === step ? admit(so, workerId, stage, step) : so,
  );
  const joined = memberIds(runOf(admitted)).length - before;
  return joined > 0 ? formGeneration(admitted) : admitted;
}

/** Those whose donor is gone start over with another. `all`: everybody does. */
export function restartFollowers(t: Transition, all: boolean): Transition {
  const members = memberIds(runOf(t));
  return forEach(t, followersOf(runOf(t)), (so, { workerId, stage }) =>
    all || (stage.held === undefined && !members.includes(stage.donor))
      ? changeParticipant(so, workerId, { stage: { kind: "ready" } })
      : so,
  );
}

function sendFollow(t: Transition, workerId: string, { step, donor }: Following): Transition {
  const { name, attempt } = recordOf(t);
  const address = t.fleet.members.get(donor)?.incarnation ?? "";
  const source = { kind: "peer", address } as const;
  return send(t, workerId, { kind: "load", job: name, attempt, step, source });
}

function awaited(t: Transition): readonly { readonly workerId: string }[] {
  const run = runOf(t);
  const { step } = recordOf(t);
  const members = memberIds(run);
  return followersOf(run).filter(({ workerId, stage }) => {
    if (!isConnected(t, workerId)) return false;
    if (stage.held?.step === step) return stage.sum === undefined;
    return step - stage.since >= behindMax && members.includes(stage.donor);
  });
}

function admit(t: Transition, workerId: string, { held }: Following, step: number): Transition {
  const expected = checksumAt(t, workerId);
  if (expected !== undefined && held?.parameterChecksum !== expected) {
    return setAside(t, workerId, "it came to other parameters than the others");
  }
  const stated =
    held === undefined
      ? runOf(t).stated
      : withEntry(runOf(t).stated, workerId, [held.parameterChecksum]);
  const joined = changeParticipant(changeRun(t, { stated }), workerId, {
    stage: { kind: "member" },
  });
  const workers = memberIds(runOf(joined)).length;
  return log(joined, "info", `${workerId} joined at step ${step}`, {
    worker: workerId,
    step,
    workers,
  });
}

function mayFollow(t: Transition, workerId: string): boolean {
  const incarnation = t.fleet.members.get(workerId)?.incarnation ?? "";
  const { notBefore } = runOf(t).joins.get(incarnation) ?? { notBefore: 0 };
  return isConnected(t, workerId) && recordOf(t).step >= notBefore;
}

/** Members that serve no earlier state, for a new offer would end the one before it; who leaves only if it must be. */
function freeDonors(t: Transition): readonly string[] {
  const { step } = recordOf(t);
  const busy = awaiting(t).flatMap((stage) => (stage.step === step ? [] : stage.donor));
  const free = connectedMembers(t).filter((id) => !busy.includes(id));
  const stay = staying(t, free);
  return stay.length > 0 ? stay : free;
}

/** Whether it serves the present state already. */
function isServing(t: Transition, donor: string): boolean {
  return awaiting(t).some((stage) => stage.donor === donor);
}

function awaiting(t: Transition): readonly Following[] {
  return followersOf(runOf(t)).flatMap(({ stage }) => (stage.held === undefined ? stage : []));
}

/**
 * Donors take turns, and several joiners get one each as far as there are. A copy goes on as its
 * donor's would only where both have the same arithmetic, so such a donor is the only one if there is any.
 */
function donorFor(t: Transition, workerId: string, free: readonly string[]): string | undefined {
  const { members } = t.fleet;
  const isAlike = (id: string): boolean =>
    members.get(id)?.hello.numerics === members.get(workerId)?.hello.numerics;
  const hasAlike = memberIds(runOf(t)).some(isAlike);
  const donors = hasAlike ? free.filter(isAlike) : free;
  const load = (id: string): number => awaiting(t).filter(({ donor }) => donor === id).length;
  const least = Math.min(...donors.map(load));
  const idle = donors.filter((id) => load(id) === least);
  return idle[recordOf(t).step % Math.max(1, idle.length)];
}
