/**
 * `npm run chaos`: a job on a fleet of real processes while faults are done to them, compared with the same job undisturbed.
 * Exits 1 when the weights differ, a step is lost, repeated or differs, the job does not end, or anything is left behind.
 */
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../../src/job/problem.js";
import { run, type Shutdown } from "../../src/process/shutdown.js";
import { writePictures } from "../support/pictures.js";
import { runDisturbed, type Disturbed } from "./disturbed.js";
import { ChaosFleet } from "./fleet.js";
import type { Follower } from "./follower.js";
import { chaosBatch } from "./job.js";
import { lostSteps, numberingProblems, storyProblems } from "./ledger.js";
import { consumersLeft, leftBehind } from "./leftovers.js";
import { costs, examplesPerSecond, type Cost } from "./measure.js";
import { readOptions, usage, type ChaosOptions } from "./options.js";
import { costTable, seconds } from "./report.js";
import { schedule } from "./schedule.js";
import { measureUndisturbed, runUndisturbed, type Undisturbed } from "./undisturbed.js";

const say = (line: string): void => console.log(line);

run(main, { debug: true, graceMs: 60_000 });

async function main(shutdown: Shutdown): Promise<number> {
  if (process.argv.includes("--help")) {
    say(usage);
    return 0;
  }
  const options = optionsOf(process.argv.slice(2));
  const folder = mkdtempSync(join(tmpdir(), "bitfleet-chaos-"));
  const ends: string[] = [];
  let destroy = (): void => undefined;
  process.on("exit", () => destroy());
  const fleet = await ChaosFleet.start({
    folder,
    workers: options.workers,
    onEnd: (name, how) => {
      ends.push(`${name}: ${how}`);
      say(`           ${name} ended by itself: ${how}`);
    },
  });
  destroy = () => fleet.destroy();
  try {
    const outcome = await perform(fleet, options, shutdown.signal);
    const problems = [...outcome.problems];
    const consumers = await consumersLeft(fleet);
    if (consumers > 0) problems.push(`${consumers} JetStream consumers are left`);
    await fleet.stop();
    problems.push(...(await leftBehind(fleet)));
    for (const problem of problems) say(`WRONG: ${problem}`);
    const { jsonFile } = options;
    const result = { ...outcome, endedByThemselves: ends, problems };
    if (jsonFile !== undefined)
      writeFileSync(jsonFile, `${JSON.stringify(result, undefined, 2)}\n`);
    if (problems.length > 0) say(`replay: npm run chaos -- ${process.argv.slice(2).join(" ")}`);
    return problems.length > 0 ? 1 : 0;
  } finally {
    await fleet.stop();
    if (options.logFolder !== undefined) keepLogs(folder, options.logFolder);
  }
}

interface Outcome {
  readonly seed: number;
  readonly workers: number;
  readonly steps: number;
  readonly batch: number;
  readonly undisturbed: Undisturbed;
  readonly examplesPerSecond: number;
  /** Examples committed per second over those of the undisturbed run. */
  readonly usefulWork: number;
  readonly faults: readonly Cost[];
  readonly problems: readonly string[];
}

async function perform(
  fleet: ChaosFleet,
  options: ChaosOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const { workers, minutes, seed, kinds, kills, everySeconds, longestSeconds } = options;
  const untilMs = minutes * 60_000;
  await writePictures(join(fleet.folder, "pictures"), { classes: 3, perClass: 24 });
  await fleet.scale(workers);
  const measureMs = Math.min(90_000, Math.max(8000, untilMs / 5));
  const undisturbed = await measureUndisturbed(fleet, measureMs, signal);
  const steps = Math.max(20, Math.round(untilMs / undisturbed.stepMs));
  say(
    `undisturbed, ${workers} workers: first commit after ${seconds(undisturbed.startMs)}, then ` +
      `${undisturbed.examplesPerSecond.toFixed(1)} examples/s, a step in ${seconds(undisturbed.stepMs)}`,
  );
  await fleet.scale(1);
  const reference = await runUndisturbed(fleet, "undisturbed", { steps, signal });
  say(`undisturbed, one worker: ${steps} steps done, to compare with`);
  await fleet.scale(workers);
  const faults = schedule({
    ...{ seed, kinds, workers, untilMs, countMax: kills },
    ...{ everyMs: 1000 * everySeconds, longestMs: 1000 * longestSeconds },
  });
  say(`chaos: ${faults.length} faults within ${seconds(untilMs)}, seed ${seed}`);
  const disturbed = await runDisturbed(fleet, { steps, faults, say, signal });
  const problems = await compare(fleet, disturbed, reference);
  const { commits } = disturbed.follower;
  const window = windowOf(disturbed, 1000 * everySeconds);
  const perSecond = examplesPerSecond(commits, chaosBatch, window);
  const outcome = {
    ...{ seed, workers, steps, batch: chaosBatch, undisturbed, examplesPerSecond: perSecond },
    usefulWork: perSecond / undisturbed.examplesPerSecond,
    faults: costs(disturbed.faults, commits),
    problems,
  };
  tell(outcome, window.toMs - window.fromMs);
  return outcome;
}

/** From the first fault until as long after the last as there is between two, or the last commit. */
function windowOf(
  { faults, follower }: Disturbed,
  everyMs: number,
): { readonly fromMs: number; readonly toMs: number } {
  const times = faults.map(({ startMs }) => startMs);
  const lastCommit = follower.commits.at(-1)?.atMs ?? 0;
  return {
    fromMs: Math.min(...times),
    toMs: Math.min(lastCommit, Math.max(...times) + everyMs),
  };
}

async function compare(
  fleet: ChaosFleet,
  { status, follower, deaths }: Disturbed,
  reference: Follower,
): Promise<readonly string[]> {
  const problems = [
    ...follower.problems,
    ...numberingProblems(follower.lines),
    ...storyProblems(follower.lines, reference.lines),
    ...lostSteps(follower.lines, deaths),
  ];
  if (status.state !== "done")
    return [`the job ended ${status.state}: ${status.reason}`, ...problems];
  const [ours, wanted] = await Promise.all(
    ["disturbed", "undisturbed"].map(async (name) => {
      const file = join(fleet.folder, `${name}.npz`);
      await fleet.client.exportWeights(name, file);
      return await readFile(file);
    }),
  );
  if (ours === undefined || wanted === undefined || !ours.equals(wanted)) {
    problems.push("the weights differ from those of the undisturbed run");
  } else say(`the weights are those of the undisturbed run, by cmp: ${ours.length} bytes`);
  return problems;
}

function tell(outcome: Outcome, windowMs: number): void {
  for (const line of costTable(outcome.faults)) say(line);
  say(
    `useful work ${outcome.usefulWork.toFixed(2)}: ${outcome.examplesPerSecond.toFixed(1)} of ` +
      `${outcome.undisturbed.examplesPerSecond.toFixed(1)} examples/s over ${seconds(windowMs)}`,
  );
}

function keepLogs(folder: string, to: string): void {
  mkdirSync(to, { recursive: true });
  cpSync(join(folder, "logs"), to, { recursive: true });
}

function optionsOf(args: readonly string[]): ChaosOptions {
  try {
    return readOptions(args);
  } catch (error) {
    throw new ConfigError(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
  }
}
