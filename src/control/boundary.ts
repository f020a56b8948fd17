import { plural } from "../job/plural.js";
import { checksumAt } from "./checksum.js";
import { end } from "./ending.js";
import type { PartingPhase, Phase, Transition } from "./fleetState.js";
import { admitLevel, beginFollowing, restartFollowers, sendOffer } from "./following.js";
import { joinFailed } from "./joining.js";
import { areSafe, drain, isParted, isPartingLate, mustSave, whoStays } from "./leaving.js";
import { giveUp, giveUpState } from "./members.js";
import {
  connectedMembers,
  formGeneration,
  memberIds,
  participantsIn,
  release,
  setAside,
  setAsideForAWhile,
} from "./participation.js";
import { beginRecovery } from "./recovery.js";
import { beginRound } from "./round.js";
import { beginSaving } from "./saving.js";
import { isSilentSince } from "./silence.js";
import { beginLoad } from "./starting.js";
import {
  changeParticipant,
  changeRun,
  describe,
  enter,
  forEach,
  log,
  recordOf,
  runOf,
  withEntry,
} from "./transition.js";
import { lacking } from "./need.js";
import { hasTraining, hasUnsaved, nextWork, workersMin } from "./work.js";

/** A joiner that failed this often and fails again may blame its donor. */
const failuresOfDonor = 2;

/**
 * Between two rounds nothing is under way, and all members hold, or are about to hold, the same
 * state: the only place where a job is cancelled, joined, evaluated or ended.
 */
export function decideBoundary(before: Transition): Transition {
  const t = admitLevel(before);
  const run = runOf(t);
  const record = recordOf(t);
  const members = memberIds(run);
  if (members.length === 0) return beginRecovery(restartFollowers(t, true));
  if (run.yields.size > 0 && !run.cancelled) return handOver(t);
  if (run.cancelled) {
    return hasUnsaved(record)
      ? beginSaving(t, "checkpoint")
      : end(t, { state: "cancelled", reason: "" });
  }
  const work = nextWork(record);
  if (work.kind === "end") {
    return hasTraining(record) ? beginSaving(t, "weights") : end(t, { state: "done", reason: "" });
  }
  const drained = drain(t, members);
  return drained ?? goOn(t);
}

/** Those who leave wait for word of those who stay, but not for ever. */
export function decideParting(t: Transition, phase: PartingPhase): Transition {
  const { cancelled } = runOf(t);
  if (cancelled || isParted(t)) return enter(t, { kind: "boundary" });
  return isPartingLate(t, phase) ? goOn(t) : t;
}

/** Begins what is next, with all who hold the state. */
function goOn(t: Transition): Transition {
  const record = recordOf(t);
  const members = memberIds(runOf(t));
  const work = nextWork(record);
  const needed = workersMin(record);
  if (members.length >= needed && work.kind === "round") {
    return beginRound(beginFollowing(restartFollowers(t, false)), work.round);
  }
  const waiting = restartFollowers(t, true);
  return participantsIn(runOf(waiting), "ready").length > 0
    ? beginJoining(waiting)
    : describe(
        waiting,
        "waiting",
        `${members.length} of ${plural(needed, "worker")} ${needed === 1 ? "holds" : "hold"} the state`,
      );
}

/**
 * Lets go of the workers that another job needs, if this one can still do without them; as with
 * those who leave, not before one that stays has said that it holds the state.
 */
function handOver(t: Transition): Transition {
  const { yields } = runOf(t);
  const stay = whoStays(t);
  if (stay.length < workersMin(recordOf(t))) return changeRun(t, { yields: new Map() });
  if (!areSafe(t, stay)) return enter(t, { kind: "parting", sinceMs: t.fleet.clock.awakeMs });
  const released = forEach(changeRun(t, { yields: new Map() }), yields, (so, [workerId, job]) => {
    const left = memberIds(runOf(so));
    if (!left.includes(workerId) || lacking(so.fleet, job) === 0) return so;
    const workers = left.length - 1;
    const message = `gives ${workerId} up for ${job}`;
    const given = release(so, workerId, `${job} needs it`);
    return log(given, "info", message, { worker: workerId, workers });
  });
  return formGeneration(released);
}

/**
 * Too few hold the state to go on, so nobody minds waiting: all who are ready take it from one
 * donor, and the job goes on as soon as all are in.
 */
function beginJoining(t: Transition): Transition {
  const donors = connectedMembers(t);
  // After a failure another one, in case it lay in the donor.
  const turn = [...runOf(t).joins.values()].reduce((sum, { failures }) => sum + failures, 0);
  const donor = donors[turn % Math.max(1, donors.length)] ?? "";
  if (donor === "") return t;
  const offered = sendOffer(enter(t, { kind: "joining", donor, joined: [] }), donor);
  const address = offered.fleet.members.get(donor)?.incarnation ?? "";
  return forEach(offered, participantsIn(runOf(offered), "ready"), (so, workerId) =>
    beginLoad(so, workerId, { kind: "peer", address }, so.fleet.options.joinMs),
  );
}

/** Admits whoever has the donor's state, and goes on when nobody is left to wait for. */
export function decideJoining(
  t: Transition,
  phase: Extract<Phase, { readonly kind: "joining" }>,
): Transition {
  if (isDonorToBlame(t, phase)) {
    // What it holds goes to the store first, so that nothing is lost with it.
    if (hasUnsaved(recordOf(t))) return beginSaving(startOver(t), "checkpoint");
    const reason = "nobody could take its state, and too few hold it to go on without";
    return giveUpState(t, phase.donor, reason);
  }
  if (isDonorSilent(t, phase))
    return giveUp(t, phase.donor, "its process says nothing while others take its state");
  const { awakeMs } = t.fleet.clock;
  const late = [...runOf(t).participants.values()].filter(
    ({ stage }) => stage.kind === "loading" && awakeMs >= stage.deadlineMs,
  );
  const rid = forEach(t, late, (so, { workerId }) =>
    joinFailed(so, workerId, "loading took too long"),
  );
  const loud = forEach(rid, silentLoaders(rid), (so, workerId) =>
    setAsideForAWhile(so, workerId, "its process says nothing while it is to join"),
  );
  const admitted = admit(loud, phase);
  const run = runOf(admitted);
  const waiting = [...run.participants.values()].filter(
    ({ stage }) => stage.kind === "loading" || stage.kind === "loaded",
  );
  const donorIsLost = !memberIds(run).includes(phase.donor);
  if (run.cancelled || donorIsLost || mustSave(admitted, memberIds(run))) {
    // Whoever still waits starts over with another donor, if there is one.
    return leave(startOver(admitted));
  }
  return waiting.length > 0
    ? describe(
        admitted,
        "training",
        `${plural(waiting.length, "worker")} ${waiting.length === 1 ? "joins" : "join"}`,
      )
    : leave(admitted);
}

/** A donor whose process is stopped, where another holds the state too. */
function isDonorSilent(t: Transition, { donor }: { readonly donor: string }): boolean {
  const members = memberIds(runOf(t));
  if (members.length < 2 || !members.includes(donor)) return false;
  const asked = loaders(t).map(({ askedMs }) => askedMs);
  return asked.length > 0 && isSilentSince(t.fleet, donor, Math.min(...asked));
}

function silentLoaders(t: Transition): readonly string[] {
  const silent = loaders(t).filter(({ workerId, askedMs }) =>
    isSilentSince(t.fleet, workerId, askedMs),
  );
  return silent.map(({ workerId }) => workerId);
}

function loaders(
  t: Transition,
): readonly { readonly workerId: string; readonly askedMs: number }[] {
  const { joinMs } = t.fleet.options;
  return [...runOf(t).participants.values()].flatMap(({ workerId, stage }) =>
    stage.kind === "loading" ? [{ workerId, askedMs: stage.deadlineMs - joinMs }] : [],
  );
}

/** Those who were about to take the donor's state are as ready as before. */
function startOver(t: Transition): Transition {
  const joiners = [...runOf(t).participants.values()].filter(
    ({ stage }) => stage.kind === "loading" || stage.kind === "loaded",
  );
  return forEach(t, joiners, (so, { workerId }) =>
    changeParticipant(so, workerId, { stage: { kind: "ready" } }),
  );
}

/**
 * Where the job cannot go on without joiners, and one does not get the state time after time, with
 * a fresh child of its own, the state is given up with its donor.
 */
function isDonorToBlame(
  t: Transition,
  { donor, joined }: Extract<Phase, { readonly kind: "joining" }>,
): boolean {
  const { participants, joins } = runOf(t);
  const isLate = [...participants.values()].some(({ workerId, stage }) => {
    const incarnation = t.fleet.members.get(workerId)?.incarnation ?? "";
    return (
      stage.kind === "loading" &&
      t.fleet.clock.awakeMs >= stage.deadlineMs &&
      (joins.get(incarnation)?.failures ?? 0) >= failuresOfDonor
    );
  });
  const members = memberIds(runOf(t));
  return (
    isLate &&
    joined.length === 0 &&
    members.length < workersMin(recordOf(t)) &&
    members.includes(donor)
  );
}

function admit(t: Transition, phase: Extract<Phase, { readonly kind: "joining" }>): Transition {
  const expected = checksumAt(t, phase.donor);
  if (expected === undefined) return t;
  return forEach(t, runOf(t).participants.values(), (so, { workerId, stage }) => {
    if (stage.kind !== "loaded") return so;
    if (stage.parameterChecksum !== expected) {
      return setAside(so, workerId, `it took other parameters from ${phase.donor} than it gave`);
    }
    const known = withEntry(runOf(so).stated, workerId, [expected]);
    const joined = changeParticipant(changeRun(so, { stated: known }), workerId, {
      stage: { kind: "member" },
    });
    const { phase: now } = runOf(joined);
    return now.kind === "joining"
      ? enter(joined, { ...now, joined: [...now.joined, workerId] })
      : joined;
  });
}

/** Whoever joined makes a new generation. */
function leave(t: Transition): Transition {
  const { phase } = runOf(t);
  const joined = phase.kind === "joining" ? phase.joined : [];
  if (joined.length === 0) return enter(t, { kind: "boundary" });
  const { step } = recordOf(t);
  const formed = formGeneration(t);
  const workers = memberIds(runOf(formed)).length;
  return enter(
    forEach(formed, joined, (so, worker) =>
      log(so, "info", `${worker} joined at step ${step}`, { worker, step, workers }),
    ),
    { kind: "boundary" },
  );
}
