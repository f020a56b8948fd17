import { plural } from "../job/plural.js";
import { end, fail } from "./ending.js";
import type { Participant, Phase, Transition } from "./fleetState.js";
import type { StateSource } from "./message.js";
import {
  isBeyondBudget,
  isIdle,
  participantsIn,
  releaseAll,
  setAside,
  setAsideForAWhile,
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
  note,
  recordOf,
  runOf,
  send,
} from "./transition.js";
import { noChecksums } from "./checksum.js";
import { workersMin } from "./work.js";

/**
 * The start of an attempt: workers get ready, the job is pinned to the arithmetic of the largest
 * group of them, and those are told to take the first state.
 */

/** Begins the next attempt from the newest checkpoint, or from the start. Children are of one attempt only. */
export function beginAttempt(t: Transition): Transition {
  const { attempt, checkpoints, startedMs } = recordOf(t);
  const begun = note(releaseAll(t, `attempt ${attempt} is over`), {
    attempt: attempt + 1,
    generation: 0,
    members: [],
    mayReturn: [],
    step: checkpoints[0]?.step ?? 0,
    trial: undefined,
    startedMs: startedMs === 0 ? t.fleet.clock.wallMs : startedMs,
  });
  return enter(
    changeRun(begun, {
      stated: noChecksums,
      keeper: undefined,
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
      ? describe(
          waiting,
          "starting",
          `${plural(preparing, "worker")} ${preparing === 1 ? "gets" : "get"} ready`,
        )
      : describeShortage(waiting, choice.group.length);
  }
  const since = phase.enoughSinceMs ?? now;
  if (preparing > 0 && now - since < late.fleet.options.gatherMs) {
    const waiting =
      phase.enoughSinceMs === since ? late : enter(late, { ...phase, enoughSinceMs: since });
    return describe(
      waiting,
      "starting",
      `${preparing} more ${preparing === 1 ? "worker gets" : "workers get"} ready`,
    );
  }
  return load(late, choice);
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
  return describe(
    t,
    "waiting",
    `${have} of ${plural(needed, "worker")} ${needed === 1 ? "is" : "are"} ready${why}`,
  );
}

function reasonSuffix(reasons: readonly string[]): string {
  const [first] = reasons;
  return first === undefined ? "" : `; ${reasons.length} spare, as ${first}`;
}
