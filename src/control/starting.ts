import { end, fail } from "./ending.js";
import type { Member, Participant, Phase, Transition } from "./fleetState.js";
import type { StateSource } from "./message.js";
import {
  formGeneration,
  isBeyondBudget,
  isIdle,
  memberIds,
  participantsIn,
  releaseAll,
  setAside,
  setAsideForAWhile,
  strike,
  unfit,
  whyNot,
} from "./participation.js";
import type { JobRecord, Pin } from "./record.js";
import {
  changeParticipant,
  changeRun,
  describe,
  enter,
  forEach,
  log,
  note,
  recordOf,
  runOf,
  send,
  withEntry,
} from "./transition.js";
import { noChecksums, takeChecksum } from "./checksum.js";
import { isSilentSince } from "./silence.js";
import { workersMin } from "./work.js";

/**
 * The start of an attempt: workers get ready, the job is pinned to the arithmetic of the largest
 * group of them, and those take the first state.
 */

/** Begins the next attempt from the newest checkpoint, or from the start. Children are of one attempt only. */
export function beginAttempt(t: Transition): Transition {
  const { attempt, checkpoints, startedMs } = recordOf(t);
  const begun = note(releaseAll(t, `attempt ${attempt} is over`), {
    attempt: attempt + 1,
    generation: 0,
    members: [],
    step: checkpoints[0]?.step ?? 0,
    trial: undefined,
    startedMs: startedMs === 0 ? t.fleet.clock.wallMs : startedMs,
  });
  return enter(
    changeRun(begun, {
      absent: new Set(),
      stated: noChecksums,
      inherited: new Map(),
      setAside: new Map(),
      joins: new Map(),
      givenUp: new Set(),
    }),
    {
      kind: "gathering",
      enoughSinceMs: undefined,
    },
  );
}

/** Waits until all who were asked are ready, or enough of them for a while; then has them load. */
export function decideGathering(
  t: Transition,
  phase: Extract<Phase, { readonly kind: "gathering" }>,
): Transition {
  if (runOf(t).cancelled) return end(t, { state: "cancelled", reason: "" });
  const late = releaseLate(t, "preparing");
  const preparing = participantsIn(runOf(late), "preparing").length;
  const record = recordOf(late);
  const choice = choose(record, readyOnes(late), late);
  const now = late.fleet.clock.awakeMs;

  if (choice.group.length < workersMin(record)) {
    const waiting =
      phase.enoughSinceMs === undefined
        ? late
        : enter(late, { ...phase, enoughSinceMs: undefined });
    return preparing > 0
      ? describe(waiting, "starting", `${preparing} workers get ready`)
      : describeShortage(waiting, choice.group.length);
  }
  const since = phase.enoughSinceMs ?? now;
  if (preparing > 0 && now - since < late.fleet.options.gatherMs) {
    const waiting =
      phase.enoughSinceMs === since ? late : enter(late, { ...phase, enoughSinceMs: since });
    return describe(waiting, "starting", `${preparing} more workers get ready`);
  }
  return load(late, choice);
}

/**
 * A worker cannot use the checkpoint. Whether that lies in the checkpoint or in the worker's disk
 * is told by the others: it waits aside until they are through.
 */
export function takeUnreadable(t: Transition, member: Member, message: string): Transition {
  const { workerId } = member;
  const { phase, participants } = runOf(t);
  const stage = participants.get(workerId)?.stage;
  if (phase.kind !== "loading" || stage?.kind !== "loading") return strike(t, member, message);
  const unreadable = withEntry(phase.unreadable, workerId, message);
  return enter(setAside(t, workerId, message), { ...phase, unreadable });
}

/** Waits until all who load hold the state, and checks that it is one and the same. */
export function decideLoading(
  t: Transition,
  { unreadable }: Extract<Phase, { readonly kind: "loading" }>,
): Transition {
  // What is being loaded is kept already.
  if (runOf(t).cancelled) return end(t, { state: "cancelled", reason: "" });
  const late = releaseSilent(releaseLate(t, "loading"));
  const run = runOf(late);
  if (participantsIn(run, "loading").length > 0) return describe(late, "starting", "loading");
  const loaded = [...run.participants.values()].flatMap(({ workerId, stage }) =>
    stage.kind === "loaded" ? [{ workerId, value: stage.parameterChecksum }] : [],
  );
  const [first] = loaded;
  const [problem] = unreadable.values();
  if (first === undefined)
    return beginAttempt(problem === undefined ? late : giveUpNewest(late, problem));
  const odd = loaded.find(({ value }) => value !== first.value);
  if (odd !== undefined) {
    return fail(
      late,
      `${odd.workerId} loaded parameters of checksum ${odd.value}, ${first.workerId} of ${first.value}`,
    );
  }
  const told = forEach(late, unreadable, (so, [worker, why]) =>
    log(so, "warn", `${worker} is set aside: ${why}`, { worker }),
  );
  const members = forEach(told, loaded, (so, { workerId, value }) =>
    changeParticipant(takeChecksum(so, workerId, value), workerId, { stage: { kind: "member" } }),
  );
  const formed = formGeneration(members);
  const { attempt, step } = recordOf(formed);
  const from = step === 0 ? "" : ` from step ${step}`;
  const begun = log(
    formed,
    "info",
    `attempt ${attempt} begins${from} with ${loaded.length} workers`,
    {
      step,
      workers: loaded.length,
      members: memberIds(runOf(formed)).join(", "),
    },
  );
  return enter(sayReplay(begun), { kind: "boundary" });
}

/** What the log tells already is not told again. */
function sayReplay(t: Transition): Transition {
  const { name, step } = recordOf(t);
  const last = t.fleet.logged.get(name)?.step ?? 0;
  if (last <= step) return t;
  return log(t, "info", `replays steps ${step + 1} to ${last}, which the log has already`, {
    step,
  });
}

/** Nobody can use the newest checkpoint: the one before it is as good, and only further back. */
function giveUpNewest(t: Transition, problem: string): Transition {
  const [bad, ...older] = recordOf(t).checkpoints;
  if (bad === undefined) return t;
  const next = older[0]?.step ?? 0;
  return log(
    note(t, { checkpoints: older }),
    "warn",
    `the checkpoint of step ${bad.step} is given up, goes back to step ${next}: ${problem}`,
    { step: bad.step },
  );
}

/** Sends (or repeats) what a loading worker is to load. */
export function sendLoad(t: Transition, workerId: string): Transition {
  const stage = runOf(t).participants.get(workerId)?.stage;
  if (stage?.kind !== "loading") return t;
  const { name, attempt } = recordOf(t);
  const { step, source } = stage;
  return send(t, workerId, { kind: "load", job: name, attempt, step, source });
}

/** Has a prepared worker take the state of the record's step. */
export function beginLoad(
  t: Transition,
  workerId: string,
  source: StateSource,
  withinMs: number,
): Transition {
  const deadlineMs = t.fleet.clock.awakeMs + withinMs;
  const { step } = recordOf(t);
  return sendLoad(
    changeParticipant(t, workerId, { stage: { kind: "loading", step, source, deadlineMs } }),
    workerId,
  );
}

/** Sets aside those that take too long. */
export function releaseLate(t: Transition, stage: "preparing" | "loading"): Transition {
  const late = [...runOf(t).participants.values()].filter(
    (one) => one.stage.kind === stage && t.fleet.clock.awakeMs >= one.stage.deadlineMs,
  );
  return forEach(t, late, (so, { workerId }) =>
    setAsideForAWhile(so, workerId, `${stage} took too long`),
  );
}

/** Sets aside those whose process is stopped while they load, where another can give them the state later. */
function releaseSilent(t: Transition): Transition {
  const { loadMs } = t.fleet.options;
  const loaders = [...runOf(t).participants.values()].flatMap(({ workerId, stage }) =>
    stage.kind === "loading" ? [{ workerId, askedMs: stage.deadlineMs - loadMs }] : [],
  );
  const silent = loaders.filter(({ workerId, askedMs }) =>
    isSilentSince(t.fleet, workerId, askedMs),
  );
  const hasLoaded = [...runOf(t).participants.values()].some(
    ({ stage }) => stage.kind === "loaded",
  );
  if (!hasLoaded && silent.length === loaders.length) return t;
  return forEach(t, silent, (so, { workerId }) =>
    setAsideForAWhile(so, workerId, "its process says nothing while it is to load"),
  );
}

interface Choice {
  readonly pin: Pin | undefined;
  readonly group: readonly string[];
}

function load(t: Transition, { pin, group }: Choice): Transition {
  const pinned = note(t, { pin });
  const others = readyOnes(pinned).filter(({ workerId }) => !group.includes(workerId));
  const alone = forEach(pinned, others, (so, { workerId, probe }) =>
    setAside(so, workerId, whyNot(so, workerId, probe) ?? ""),
  );
  const [checkpoint] = recordOf(alone).checkpoints;
  const source: StateSource =
    checkpoint === undefined ? { kind: "initial" } : { kind: "checkpoint", step: checkpoint.step };
  const loading = forEach(alone, group, (so, workerId) =>
    beginLoad(so, workerId, source, so.fleet.options.loadMs),
  );
  return enter(loading, { kind: "loading", unreadable: new Map() });
}

/** The pin, and the ready workers that it lets in; of equal groups the one with the smallest id. */
function choose(record: JobRecord, ready: readonly Participant[], { fleet }: Transition): Choice {
  const all = ready.map(({ workerId }) => workerId);
  if (record.pin !== undefined) return { pin: record.pin, group: all };
  const groups = new Map<string, { readonly pin: Pin; readonly group: readonly string[] }>();
  for (const { workerId, probe } of ready) {
    const numerics = fleet.members.get(workerId)?.hello.numerics ?? "";
    const key = JSON.stringify([numerics, probe]);
    const group = [...(groups.get(key)?.group ?? []), workerId];
    groups.set(key, { pin: { numerics, probe }, group });
  }
  const largest = [...groups.values()].reduce<Choice>(
    (best, group) => (group.group.length > best.group.length ? group : best),
    { pin: undefined, group: [] },
  );
  return record.plan.settings.mixedDevices ? { pin: largest.pin, group: all } : largest;
}

function readyOnes(t: Transition): readonly Participant[] {
  const { participants } = runOf(t);
  return participantsIn(runOf(t), "ready").flatMap((id) => participants.get(id) ?? []);
}

/** Nobody more gets ready by itself. Where all there are have failed, neither will waiting help. */
function describeShortage(t: Transition, have: number): Transition {
  const record = recordOf(t);
  const run = runOf(t);
  const connected = [...t.fleet.members.values()].filter(({ link }) => link.kind === "connected");
  const reasons = connected.flatMap((member) =>
    isIdle(t.fleet, member) ? (unfit(t.fleet, run.job, member) ?? []) : [],
  );
  const allFailed =
    connected.length > 0 && connected.every((member) => isBeyondBudget(t.fleet, run, member));
  if (allFailed) return fail(t, `no worker is left; ${reasons[0] ?? ""}`);
  const needed = workersMin(record);
  const why = connected.length === 0 ? "; no worker is connected" : reasonSuffix(reasons);
  return describe(t, "waiting", `${have} of ${needed} workers are ready${why}`);
}

function reasonSuffix(reasons: readonly string[]): string {
  const [first] = reasons;
  return first === undefined ? "" : `; ${reasons.length} spare, as ${first}`;
}
