/**
 * `npm run chaos`: a job on a fleet of real processes while faults are done to them, compared with the same job undisturbed.
 * Exits 1 when the weights differ, a step is lost, repeated or differs, the job does not end, or anything is left behind.
 */
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, FailureError, reasonOf } from "../../src/job/problem.js";
import { run, type Shutdown } from "../../src/process/shutdown.js";
import { runCampaign, type CampaignOutcome } from "./campaign.js";
import { ChaosFleet, destroyFleet } from "./fleet.js";
import { runJobs, type JobsOutcome } from "./jobs.js";
import { consumersLeft, leftBehind } from "./leftovers.js";
import { readOptions, usage, type ChaosOptions } from "./options.js";

const say = (line: string): void => console.log(line);

run(main, { debug: true, graceMs: 60_000 });

async function main({ signal }: Shutdown): Promise<number> {
  const args = process.argv.slice(2);
  if (args.includes("--help")) {
    say(usage);
    return 0;
  }
  const options = optionsOf(args);
  const folder = mkdtempSync(join(tmpdir(), "bitfleet-chaos-"));
  // Whatever happens to us: nothing of the fleet survives this process.
  process.on("exit", () => destroyFleet(folder));
  const endedByThemselves: string[] = [];
  const { workers, jobs, jsonFile, logFolder } = options;
  const fleet = await ChaosFleet.start({
    ...{ folder, workers },
    onEnd: (name, how) => {
      endedByThemselves.push(`${name}: ${how}`);
      say(`           ${name} ended by itself: ${how}`);
    },
  });
  try {
    const work: Promise<CampaignOutcome | JobsOutcome> =
      jobs > 0
        ? runJobs(fleet, { jobs, workers }, { say, signal })
        : runCampaign(fleet, options, { say, signal });
    const outcome = await Promise.race([work, aborted(signal)]);
    const problems = [...outcome.problems];
    const consumers = await consumersLeft(fleet);
    if (consumers > 0) problems.push(`${consumers} JetStream consumers are left`);
    await fleet.stop();
    problems.push(...(await leftBehind(fleet)));
    const report = { ...outcome, endedByThemselves, problems };
    if (jsonFile !== undefined)
      writeFileSync(jsonFile, `${JSON.stringify(report, undefined, 2)}\n`);
    return verdict(problems, args);
  } finally {
    await fleet.stop();
    if (logFolder !== undefined) keepLogs(folder, logFolder);
  }
}

/** Some of the work waits for processes, and would not hear of it. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(new FailureError("stopped before the end"));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
}

function verdict(problems: readonly string[], args: readonly string[]): number {
  for (const problem of problems) say(`WRONG: ${problem}`);
  if (problems.length > 0) say(`replay: npm run chaos -- ${args.join(" ")}`);
  return problems.length > 0 ? 1 : 0;
}

function keepLogs(folder: string, to: string): void {
  mkdirSync(to, { recursive: true });
  cpSync(join(folder, "logs"), to, { recursive: true });
}

function optionsOf(args: readonly string[]): ChaosOptions {
  try {
    return readOptions(args);
  } catch (error) {
    throw new ConfigError(`${reasonOf(error)}\n${usage}`);
  }
}
