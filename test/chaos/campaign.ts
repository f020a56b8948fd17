/** A job undisturbed, then the same job under faults, and what must hold between the two. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writePictures } from "../support/pictures.js";
import { runDisturbed, type Disturbed } from "./disturbed.js";
import type { ChaosFleet } from "./fleet.js";
import type { Follower } from "./follower.js";
import { chaosBatch } from "./job.js";
import { lostSteps, numberingProblems, storyProblems, wronglyBlamed } from "./ledger.js";
import { costs, examplesPerSecond, pausesOf, type Cost, type Pauses } from "./measure.js";
import type { ChaosOptions } from "./options.js";
import { costTable, pauseLine, seconds } from "./report.js";
import { schedule, type Fault, type FaultKind } from "./schedule.js";
import { measureUndisturbed, runUndisturbed, type Undisturbed } from "./undisturbed.js";

export interface CampaignOutcome {
  readonly seed: number;
  readonly workers: number;
  readonly steps: number;
  readonly batch: number;
  readonly undisturbed: Undisturbed;
  readonly examplesPerSecond: number;
  /** Examples committed per second over those of the undisturbed run. */
  readonly usefulWork: number;
  readonly faults: readonly Cost[];
  readonly pauses: Pauses;
  readonly problems: readonly string[];
}

/** How a run talks, and how it is stopped. */
export interface Hands {
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** The job is made a little longer than the chaos is to last, should the machine be faster later. */
const reserve = 1.05;

export async function runCampaign(
  fleet: ChaosFleet,
  options: ChaosOptions,
  hands: Hands,
): Promise<CampaignOutcome> {
  const { workers, minutes, seed, kinds, kills, everySeconds, longestSeconds } = options;
  const { say, signal } = hands;
  const untilMs = minutes * 60_000;
  await writePictures(join(fleet.folder, "pictures"), { classes: 3, perClass: 24 });
  fleet.slowDown(options.slowSeconds);
  await fleet.scale(workers);
  const measureMs = Math.min(90_000, Math.max(8000, untilMs / 5));
  const undisturbed = await measureUndisturbed(fleet, measureMs, signal);
  const steps = Math.max(20, Math.round((reserve * untilMs) / undisturbed.stepMs));
  say(
    `undisturbed, ${workers} workers: first commit after ${seconds(undisturbed.startMs)}, then ` +
      `${undisturbed.examplesPerSecond.toFixed(1)} examples/s, a step in ${seconds(undisturbed.stepMs)}`,
  );
  // The run to compare bytes with may be as fast as it can.
  fleet.slowDown(0);
  await fleet.scale(0);
  await fleet.scale(options.referenceWorkers);
  const reference = await runUndisturbed(fleet, "undisturbed", { steps, signal });
  const { referenceWorkers } = options;
  say(`undisturbed, on ${referenceWorkers}: ${steps} steps done, to compare with`);
  fleet.slowDown(options.slowSeconds);
  await fleet.scale(0);
  await fleet.scale(workers);
  const faults = schedule({
    ...{ seed, kinds, workers, untilMs, countMax: kills },
    ...{ everyMs: 1000 * everySeconds, longestMs: 1000 * longestSeconds },
  });
  say(`chaos: ${faults.length} faults within ${seconds(untilMs)}, seed ${seed}`);
  const disturbed = await runDisturbed(fleet, { steps, faults, say, signal });
  const problems = [
    ...(await compare(fleet, disturbed, reference)),
    ...unfired(disturbed, faults, kinds),
  ];
  if (problems.length === 0) say("the weights are those of the undisturbed run, by cmp");
  const { commits } = disturbed.follower;
  const window = windowOf(disturbed, 1000 * everySeconds);
  const perSecond = examplesPerSecond(commits, chaosBatch, window);
  const outcome = {
    ...{ seed, workers, steps, batch: chaosBatch, undisturbed, examplesPerSecond: perSecond },
    usefulWork: perSecond / undisturbed.examplesPerSecond,
    faults: costs(disturbed.faults, commits),
    pauses: pausesOf(disturbed.faults, commits),
    problems,
  };
  for (const line of costTable(outcome.faults)) say(line);
  say(pauseLine(outcome.pauses));
  say(
    `useful work ${outcome.usefulWork.toFixed(2)}: ${perSecond.toFixed(1)} of ` +
      `${undisturbed.examplesPerSecond.toFixed(1)} examples/s over ${seconds(window.toMs - window.fromMs)}`,
  );
  return outcome;
}

/** From the first fault until as long after the last as there is between two, or the last commit. */
function windowOf(
  { faults, follower }: Disturbed,
  everyMs: number,
): { readonly fromMs: number; readonly toMs: number } {
  const { commits } = follower;
  const [first, last] = [commits[0]?.atMs ?? 0, commits.at(-1)?.atMs ?? 0];
  return {
    fromMs: faults[0]?.startMs ?? first,
    toMs: Math.min(last, (faults.at(-1)?.startMs ?? last) + everyMs),
  };
}

async function compare(
  fleet: ChaosFleet,
  { status, follower, deaths, faults }: Disturbed,
  reference: Follower,
): Promise<readonly string[]> {
  const problems = [
    ...follower.problems,
    ...numberingProblems(follower.lines),
    ...storyProblems(follower.lines, reference.lines),
    ...lostSteps(follower.lines, deaths),
    ...wronglyBlamed(follower.lines, faults),
  ];
  if (status.state !== "done")
    return [`the job ended ${status.state}: ${status.reason}`, ...problems];
  const [ours, wanted] = await Promise.all(
    ["disturbed", "undisturbed"].map(async (name) => {
      const file = join(fleet.folder, `${name}.npz`);
      await fleet.client.exportWeights(name, file, { force: true });
      return await readFile(file);
    }),
  );
  if (ours === undefined || wanted === undefined || !ours.equals(wanted)) {
    problems.push("the weights differ from those of the undisturbed run");
  }
  return problems;
}

/** A kind that was due three times and never hit anything is a broken injector. */
function unfired(
  { faults: done }: Disturbed,
  due: readonly Fault[],
  kinds: readonly FaultKind[],
): readonly string[] {
  return kinds.flatMap((kind) => {
    const fired = done.some((fault) => fault.kind === kind && fault.hit);
    const times = due.filter((fault) => fault.kind === kind).length;
    return !fired && times >= 3 ? [`${kind} was due ${times} times and never fired`] : [];
  });
}
