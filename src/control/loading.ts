import { plural } from "../job/plural.js";
import { takeChecksum } from "./checksum.js";
import { end, fail } from "./ending.js";
import type { Member, Phase, Transition } from "./fleetState.js";
import { judgeNumbers } from "./judgement.js";
import {
  formGeneration,
  participantsIn,
  setAside,
  setAsideForAWhile,
  strike,
} from "./participation.js";
import { rewindUndecided } from "./remedy.js";
import { isSilentSince } from "./silence.js";
import { beginAttempt, releaseLate } from "./starting.js";
import {
  changeParticipant,
  describe,
  enter,
  forEach,
  log,
  note,
  recordOf,
  runOf,
  votersOf,
  withEntry,
} from "./transition.js";

/** How the first members of an attempt take its state; who cannot, or takes another one, is left out. */

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
  const judged = judgeNumbers(
    new Map(loaded.map(({ workerId, value }) => [workerId, [value]])),
    votersOf(
      late,
      loaded.map(({ workerId }) => workerId),
    ),
  );
  if (judged.kind === "tie") {
    const values = loaded.map(({ workerId, value }) => `${value} on ${workerId}`).join(" and ");
    return rewindUndecided(late, `the parameters that were loaded have checksum ${values}`);
  }
  const right = (judged.kind === "odd" ? judged.value : undefined) ?? first.value;
  const told = forEach(late, unreadable, (so, [worker, why]) => tellAside(so, worker, why));
  const members = forEach(told, loaded, (so, { workerId, value }) => {
    if (value === right)
      return changeParticipant(takeChecksum(so, workerId, value), workerId, {
        stage: { kind: "member" },
      });
    const why = `it loaded parameters of checksum ${value}, and the others of ${right}`;
    return setAside(tellAside(so, workerId, why), workerId, why);
  });
  const formed = formGeneration(members);
  const { attempt, step, members: ids } = recordOf(formed);
  const from = step === 0 ? "" : ` from step ${step}`;
  const message = `attempt ${attempt} begins${from} with ${plural(ids.length, "worker")}`;
  const fields = { step, workers: ids.length, members: ids.join(", ") };
  const begun = log(formed, "info", message, fields);
  return enter(sayReplay(begun), { kind: "boundary" });
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

/**
 * Data or settings that a worker cannot use, before anybody holds a state: it lies in the job only
 * where nobody else is left for whom they may do.
 */
export function takeUnable(t: Transition, { workerId }: Member, message: string): Transition {
  const { phase, participants } = runOf(t);
  const isStart = phase.kind === "gathering" || phase.kind === "loading";
  if (!isStart || participants.size < 2) return fail(t, message);
  return setAside(tellAside(t, workerId, message), workerId, message);
}

function tellAside(t: Transition, worker: string, why: string): Transition {
  return log(t, "warn", `${worker} is set aside: ${why}`, { worker });
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
